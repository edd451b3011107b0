package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

var update = flag.Bool("update", false, "write what commands print into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(testMain{m}, map[string]func(){"export-profile": main})
}

type testMain struct{ *testing.M }

func (m testMain) Run() int {
	defer func() { os.RemoveAll(programDir) }()
	return testrun.Run(m.M)
}

// programDir is the directory of the built program, once a test needs it.
var programDir string

// buildProgram builds the program as it is released, once. Most tests run the test binary as the program instead.
var buildProgram = sync.OnceValues(func() (string, error) {
	var err error
	if programDir, err = os.MkdirTemp("", "export-profile-test-"); err != nil {
		return "", err
	}
	program := filepath.Join(programDir, "export-profile")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

// TestScript runs testdata/script/*.txtar: the program as users run it, one subject a file.
// Besides testscript's own commands there are
//
//	exits STATUS COMMAND…      run a command that must exit with a status
//	tree DIR                   list a directory as testdata/basic.tree does
//	config DIR TAG             print an image's config, after verifying the image
//	health DIR TAG             print the health check in an image's config, as JSON
//	foreign DIR TAG CONFIG LAYER…  make an image of another program; see foreignImage
//	manifest DIR TAG           print its manifest
//	history DIR TAG            print the contents of its layers, a line for each
//	damage FILE OFFSET         change one byte of a file
//	cut FILE SIZE              keep only the first bytes of a file
//	litter DIR                 fail if a run left temporary files
//	statement KEY FILE         verify attestations, and print their statements, one a line
//	sbom FORMAT FILE…          fail if SBOMs do not follow the published schema
//	only DIR NAME…             fail if a directory has other files
//
// and the variables GOLDEN (the golden closure's export stream), CACHE (a binary cache of it), REGISTRATION, PROFILE (its profile) and HELLO (a program in it),
// and GUIX: a directory with a closure in Guix's forms, signed by libgcrypt (archive and cache), and signing-key.pub.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("GOLDEN", storetest.File(t, "basic.nix-export"))
			env.Setenv("CACHE", storetest.File(t, "basic.cache"))
			env.Setenv("REGISTRATION", storetest.File(t, "basic.registration"))
			env.Setenv("TREE", storetest.File(t, "basic.tree"))
			env.Setenv("PROFILE", string(storetest.GoldenProfile))
			env.Setenv("HELLO", "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0")
			guix, err := filepath.Abs("testdata/guix")
			if err != nil {
				return err
			}
			env.Setenv("GUIX", guix)
			env.Setenv("NIX_PROFILE", "")
			env.Defer(func() { _ = staging.RemoveAll(env.WorkDir) }) // read-only directories
			return os.Mkdir(env.WorkDir+"/home", 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"tree":     listTree,
			"config":   showConfig,
			"foreign":  foreignImage,
			"health":   showHealth,
			"manifest": showManifest,
			"history":  showHistory,
			"damage":   damage,
			"cut":      cut,
			"litter":   litter,
			"only":     only,
			"sbom":     validateSBOM,

			"statement": showStatements,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d; want %d", got, want)
	}
}

func validateSBOM(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] sbom FORMAT FILE…")
	}
	for _, name := range args[1:] {
		err := sbomtest.Validate(args[0], []byte(ts.ReadFile(name)))
		if neg && err == nil {
			ts.Fatalf("%s is a document of %s", name, args[0])
		} else if !neg && err != nil {
			ts.Fatalf("%s: %v", name, err)
		}
	}
}

func listTree(ts *testscript.TestScript, neg bool, args []string) {
	lines, err := storetest.List(diskTree(ts.MkAbs(args[0])))
	ts.Check(err)
	_, _ = fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
}

// diskTree returns the contents of a directory.
func diskTree(dir string) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		var paths []string
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if path != dir {
				paths = append(paths, strings.TrimPrefix(path, dir+"/"))
			}
			return err
		})
		if err != nil {
			yield(rootfs.Entry{}, err)
			return
		}
		slices.SortFunc(paths, rootfs.ComparePaths)
		for _, p := range paths {
			fi, err := os.Lstat(filepath.Join(dir, p))
			if err == nil && !fi.ModTime().Equal(rootfs.ModTime) {
				err = fmt.Errorf("%q has the time %v", p, fi.ModTime())
			}
			if err != nil {
				yield(rootfs.Entry{}, err)
				return
			}
			e := rootfs.Entry{Path: p, Mode: fi.Mode(), Size: fi.Size()}
			if e.IsLink() {
				e.Target, _ = os.Readlink(filepath.Join(dir, p))
			}
			e.Open = func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, p)) }
			if !yield(e, nil) {
				return
			}
		}
	}
}

// readImage rehashes the whole layout, verifies the image of a tag, and returns its raw manifest and config.
func readImage(dir, tag string) (manifest, config []byte, err error) {
	claims, err := verify.ReadLayout(context.Background(), dir, tag)
	if err != nil {
		return nil, nil, err
	}
	report, err := claims.Check(context.Background(), verify.Options{Hash: narHash})
	if err != nil {
		return nil, nil, err
	}
	if report.Count > 0 || report.Images[0].Foreign == report.Images[0].Layers {
		return nil, nil, fmt.Errorf("image %q in %q: %d problems: %v", tag, dir, report.Count, report.Problems)
	}
	blobs := make(map[string][]byte)
	entries, err := os.ReadDir(filepath.Join(dir, "blobs/sha256"))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, "blobs/sha256", e.Name()))
		if err != nil {
			return nil, nil, err
		}
		sum := sha256.Sum256(b)
		if hex.EncodeToString(sum[:]) != e.Name() {
			return nil, nil, fmt.Errorf("blob %s has another hash", e.Name())
		}
		blobs["sha256:"+e.Name()] = b
	}
	var index ispec.Index
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, d := range index.Manifests {
		if d.Annotations[ispec.AnnotationRefName] != tag {
			continue
		}
		var m ispec.Manifest
		if err := json.Unmarshal(blobs[d.Digest.String()], &m); err != nil {
			return nil, nil, err
		}
		for _, l := range m.Layers {
			if int64(len(blobs[l.Digest.String()])) != l.Size {
				return nil, nil, fmt.Errorf("layer %s is missing or has another size", l.Digest)
			}
		}
		return blobs[d.Digest.String()], blobs[m.Config.Digest.String()], nil
	}
	return nil, nil, fmt.Errorf("no image %q in the index", tag)
}

func showConfig(ts *testscript.TestScript, neg bool, args []string) {
	_, config, err := readImage(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	var image ispec.Image
	ts.Check(json.Unmarshal(config, &image))
	b, err := json.MarshalIndent(struct {
		Created  any
		Platform ispec.Platform
		Config   ispec.ImageConfig
	}{image.Created, image.Platform, image.Config}, "", "  ")
	ts.Check(err)
	_, _ = fmt.Fprintf(ts.Stdout(), "%s\n", b)
}

func showHealth(ts *testscript.TestScript, neg bool, args []string) {
	_, config, err := readImage(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	var image struct {
		Config struct{ Healthcheck json.RawMessage } `json:"config"`
	}
	ts.Check(json.Unmarshal(config, &image))
	_, _ = fmt.Fprintf(ts.Stdout(), "%s", image.Config.Healthcheck)
}

func showManifest(ts *testscript.TestScript, neg bool, args []string) {
	manifest, _, err := readImage(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	_, _ = ts.Stdout().Write(manifest)
}

func showHistory(ts *testscript.TestScript, neg bool, args []string) {
	_, config, err := readImage(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	var image ispec.Image
	ts.Check(json.Unmarshal(config, &image))
	for _, h := range image.History {
		_, _ = fmt.Fprintln(ts.Stdout(), h.Comment)
	}
}

func damage(ts *testscript.TestScript, neg bool, args []string) {
	name := ts.MkAbs(args[0])
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(name)
	ts.Check(err)
	b[offset] ^= 0x20
	ts.Check(os.Chmod(name, 0o644))
	ts.Check(os.WriteFile(name, b, 0o644))
}

func cut(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

func litter(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.Contains(d.Name(), "export-profile-") || strings.HasPrefix(d.Name(), ".umoci") || strings.HasPrefix(d.Name(), "spool")) {
			return fmt.Errorf("%q is left over", path)
		}
		return err
	}))
}

func only(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("in %s there is %q; want %q", args[0], got, want)
	}
}
