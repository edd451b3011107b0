package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/trust"
)

// statementFlags say whose statements about the image verify wants, and what they have to prove.
type statementFlags struct {
	keyFiles     []string
	signedBy     []string
	allowMissing []string
	file         string
}

func (f *statementFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.keyFiles, "key", nil, "want a statement that a key in `FILE` has signed, and compare the image with it down to each store path: "+
		"PEM, or keys as Nix writes them; - is standard input; repeatable: any of the keys")
	fs.StringArrayVar(&f.signedBy, "require-signed-by", nil, "with --key: want for each store path a signature in the statement by the Nix key `KEY`: "+
		"name:base64, or a file of such keys; repeatable: any of the keys")
	fs.StringArrayVar(&f.allowMissing, "allow-missing", nil, "with --key: accept that files mention the store path `NAME`, "+
		"such as 0c1p5z4kda11…-example or *-example or *.drv, although it is not in the image; repeatable")
	fs.StringVar(&f.file, "attestation-file", "", "with --key: read the attestations from `FILE`, one a line (- is standard input), "+
		"instead of those attached to the image in a registry or beside it as DIR-TAG.intoto.jsonl or ARCHIVE.intoto.jsonl")
}

const keyExample = "as in export-profile verify --key key.pub oci:hello:v1"

// statementVerifier compares images with signed statements.
type statementVerifier struct {
	flags    *statementFlags
	keys     attestation.Keys
	signedBy trust.Keys
	stdin    *os.File

	chooser *attestation.Chooser
	scanner *attestation.Scanner
	wanted  []string // digests of the images and indexes that need a statement
	looked  string   // where attestations belong, for a hint
	results []statementResult
	remote  bool                 // the image is in a registry
	absent  *attestation.Absence // what was found instead of a statement, or nil
	// unsigned lists where the statements are that have store paths without any signature, although one is wanted.
	unsigned []string
}

// verifier reads the keys. It returns nil without --key.
func (f *statementFlags) verifier(stdin *os.File, n imageName) (_ *statementVerifier, err error) {
	defer func() { err = inChapter("attestations", err) }()
	if len(f.keyFiles) == 0 {
		return nil, f.withoutKey()
	}
	standard := slices.DeleteFunc(append(slices.Clone(f.keyFiles), f.file, n.path), func(name string) bool { return name != standardName })
	if len(standard) > 1 {
		return nil, usagef("give the others as files", "verify: standard input can be only one of --key, --attestation-file and IMAGE")
	}
	v := &statementVerifier{flags: f, stdin: stdin, remote: n.transport.remote}
	for _, pattern := range f.allowMissing {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return nil, usagef(`as in --allow-missing '*-example'`, "--allow-missing %q: not a name or pattern", pattern)
		}
	}
	for _, name := range f.keyFiles {
		keys, err := v.readPublicKeys(name)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, keys...)
	}
	if v.signedBy, err = parseTrusted("--require-signed-by", f.signedBy); err != nil {
		return nil, hintNixKey(err)
	}
	if len(f.signedBy) > 0 && len(v.signedBy) == 0 {
		return nil, usagef("", "--require-signed-by %q: there is no key in it", f.signedBy[0])
	}
	v.chooser, err = attestation.NewChooser(v.keys)
	return v, err
}

// withoutKey refuses flags that mean nothing without --key.
func (f *statementFlags) withoutKey() error {
	flag := ""
	switch {
	case len(f.signedBy) > 0:
		flag = "--require-signed-by"
	case len(f.allowMissing) > 0:
		flag = "--allow-missing"
	case f.file != "":
		flag = "--attestation-file"
	default:
		return nil
	}
	return usagef(keyExample, "%s: want --key, too", flag)
}

// readPublicKeys reads a file of --key.
func (v *statementVerifier) readPublicKeys(name string) (attestation.Keys, error) {
	in := io.Reader(v.stdin)
	if name != standardName {
		if isKeyText(name) && !exists(name) { // the text may be secret
			return nil, usagef("write the public key to a file, or to standard input: --key - < key.pub", "--key: want the name of a file, not the key itself")
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, hintMissing(fmt.Errorf("read keys: %w", err), "the holder of the secret key has it: openssl pkey -in key.pem -pubout -out key.pub")
		}
		defer f.Close()
		in = f
	} else if v.stdin == nil {
		return nil, errors.New("read keys: there is no standard input")
	}
	b, err := io.ReadAll(io.LimitReader(in, attestation.MaxKeys+1))
	if err != nil {
		return nil, fmt.Errorf("read keys %q: %w", name, err)
	}
	keys, err := attestation.ParseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("read keys %q: %w", name, err)
	}
	return keys, nil
}

// allows reports whether --allow-missing names a store path.
func (f *statementFlags) allows(base string) bool {
	return slices.ContainsFunc(f.allowMissing, func(pattern string) bool {
		ok, _ := path.Match(pattern, base)
		return ok || pattern == base
	})
}

// prepare collects the statements about the images, and makes options collect what they are compared with.
// A nil verifier does nothing.
func (v *statementVerifier) prepare(ctx context.Context, o *imageOpener, n imageName, claims *verify.Claims, options *verify.Options) error {
	if v == nil {
		return nil
	}
	images, indexes := claims.Manifests()
	for _, d := range images {
		v.wanted = append(v.wanted, d.String())
	}
	for d := range indexes {
		v.wanted = append(v.wanted, d.String())
	}
	slices.Sort(v.wanted)
	if err := v.collect(ctx, o, n, claims); err != nil {
		return err
	}
	v.scanner = attestation.NewScanner(claims.StoreDir(), v.chooser.Statements(), v.flags.allows)
	options.Store, options.Hash, options.File = true, v.scanner.Hash, v.scanner.File
	return nil
}

// compare compares the images with the statements, and adds the problems to the report. A nil verifier does nothing.
func (v *statementVerifier) compare(ctx context.Context, claims *verify.Claims, r *verify.Report, o verify.Options) error {
	if v == nil {
		return nil
	}
	manifests, parts := claims.Manifests()
	if len(r.Indexes)+len(r.Images) == 0 && r.Count == 0 {
		v.addProblem(r, verify.Problem{What: "there is no image that a statement could be about"})
	}
	for _, index := range r.Indexes {
		c := &attestation.Contents{Digest: index.String(), Index: true}
		for _, p := range parts[index] {
			if !p.Attestation {
				c.Parts = append(c.Parts, p.Digest.String())
			}
		}
		v.check(r, verify.Problem{Blob: index.String()}, c)
	}
	for _, image := range r.Images {
		at := verify.Problem{Image: image.Digest}
		if !slices.Contains(manifests, image.Digest) {
			at.What = "has only Docker's form, without a manifest that a statement could be about"
			v.addProblem(r, at)
			continue
		}
		c := &attestation.Contents{Digest: image.Digest.String(), StoreDir: image.StoreDir, Layers: image.Blobs, Config: image.Config}
		signed, _ := v.chooser.About(c.Digest)
		objects := image.Store
		if image.Stacked && len(signed) > 0 {
			o.Hash, o.Progress = narHash, nil
			var err error
			var unreadable *verify.UnreadableError
			if objects, err = claims.ReadStore(ctx, image, o); errors.As(err, &unreadable) {
				at.What = fmt.Sprintf("its store paths cannot be compared with the statement: %v", unreadable.Err)
				v.addProblem(r, at)
				continue
			} else if err != nil {
				return err
			}
		}
		for _, object := range objects {
			c.Objects = append(c.Objects, attestation.Object{Name: object.Name, Hash: object.Hash, Size: object.Size, Changed: object.Changed})
		}
		v.check(r, at, c)
	}
	return nil
}

// check compares one image or index with all statements about it.
func (v *statementVerifier) check(r *verify.Report, at verify.Problem, c *attestation.Contents) {
	signed, broken := v.chooser.About(c.Digest)
	for _, b := range broken {
		p := at
		p.What = fmt.Sprintf("%q is signed by key %q, but cannot be understood: %v", b.From, b.Key.ID(), b.Err)
		v.addProblem(r, p)
	}
	if len(signed) == 0 && len(broken) == 0 {
		v.absent = v.chooser.Absence(v.wanted)
		at.What = v.absent.String()
		v.addProblem(r, at)
	}
	for _, s := range signed {
		checked := attestation.Check(s.Statement, c, attestation.CheckOptions{Scanner: v.scanner, SignedBy: v.signedBy})
		if checked.Unsigned > 0 {
			v.unsigned = append(v.unsigned, s.From)
		}
		for _, found := range checked.Problems {
			p := at
			p.Path, p.What = found.Path, found.What
			if len(signed) > 1 {
				p.What += fmt.Sprintf(" (%s, signed by key %q)", s.From, s.Key.ID())
			}
			v.addProblem(r, p)
		}
		result := statementResult{Subject: s.Subject, Kind: string(s.Kind), Key: s.Key.ID(), From: s.From, Paths: checked.Paths, Parts: len(s.Parts), Changed: s.Changed(), Problems: len(checked.Problems)}
		if len(v.signedBy) > 0 {
			result.SignedBy = checked.SignedBy
		}
		v.results = append(v.results, result)
	}
}

// mostStatementProblems limits the problems that are kept, as [verify.Claims.Check] does.
const mostStatementProblems = 1 << 16

func (v *statementVerifier) addProblem(r *verify.Report, p verify.Problem) {
	if r.Count++; len(r.Problems) < mostStatementProblems {
		r.Problems = append(r.Problems, p)
	}
}
