package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

const lsHelp = `examples:
  export-profile ls
  export-profile ls --profile ./result --depth 2 / /run/profile/bin
  export-profile ls --from oci:hello:v1
  export-profile ls --from docker://registry.example.com/team/hello:v1 --json /etc

Lists the files, with sizes, in the image that image would make, or with --from IMAGE in an existing one,
as du -hacL --apparent-size does in the root filesystem. ls follows links and counts each file once,
in the directory where it first finds the file. Without a PATH it lists everything.
With --json, a path that is not UTF-8 also has its bytes, in base 64 (pathBytes).
`

type lsOptions struct {
	assemblyFlags
	inspectFlags
	outputFlags
	bytes bool
	depth int
}

func setupLs(fs *pflag.FlagSet) runFunc {
	o := &lsOptions{}
	o.assemblyFlags.flags(fs)
	o.closureFlags.images = &o.inspectFlags
	o.base.flags(fs, &o.registryFlags)
	workdirFlag(fs, &o.workdir)
	fs.BoolVar(&o.bytes, "bytes", false, "print sizes in bytes")
	fs.IntVar(&o.depth, "depth", -1, "list at most `N` levels of directories below each PATH; sizes still count everything")
	o.inspectFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if err := strayImage("ls", args); err != nil {
			return err
		}
		var err error
		if o.workdir, err = parseWorkdir(o.workdir); err != nil {
			return err
		}
		if o.depth < -1 {
			return usagef("as in --depth 2", "--depth: want a number from 0 on, not %d", o.depth)
		}
		if image, ok, err := o.fromImage(); err != nil {
			return err
		} else if ok {
			if other := changedBesides(fs, "from", "cache", "no-cache", "platform", "tls-verify", "registry-ca",
				"bytes", "depth", "json", "quiet", "debug"); other != "" {
				return usagef("leave the flag out, or list an image to be made from a store",
					"--%s is about an image to be made, but %q exists", other, image)
			}
		}
		return o.run(ctx, t, args)
	}
}

// lsRow is a file or directory in the JSON result.
type lsRow struct {
	Path  string `json:"path"`
	Bytes []byte `json:"pathBytes,omitempty"` // of a path that is not UTF-8, so that Path is lossy
	Size  int64  `json:"size"`
	Dir   bool   `json:"directory,omitempty"`
}

func (o *lsOptions) run(ctx context.Context, t terminal, args []string) (err error) {
	say := o.speaker(t)
	defer say.close()
	places := []string{""}
	if len(args) > 0 {
		places = nil
		for _, a := range args {
			places = append(places, strings.TrimPrefix(path.Clean("/"+a), "/"))
		}
	}
	files, closing, err := o.files(ctx, t, say)
	if err != nil {
		return err
	}
	defer say.closing(&err, closer(closing))

	w := bufio.NewWriter(t.out)
	rows := []lsRow{}
	lost := []string{}
	_, onTerminal := terminalWidth(t.out)
	total, err := files.DiskUse(places, func(u rootfs.DiskUse) error {
		if o.depth >= 0 && u.Depth > o.depth {
			return nil
		}
		if o.json {
			rows = append(rows, lsRow{"/" + u.Path, bytesOf("/" + u.Path), u.Size, u.Dir})
			return nil
		}
		name := "/" + u.Path
		if onTerminal && !isPlain(name) {
			name = strconv.Quote(name) // as ls of coreutils does, since an image may have any names
		}
		return o.line(w, u.Size, name)
	}, func(path string) { lost = append(lost, "/"+path) })
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(fmt.Errorf("list %w", err), "without a PATH, ls lists everything; --depth 2 shortens it")
	}
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(t.out, struct {
			Files    []lsRow  `json:"files"`
			Total    int64    `json:"total"`
			Dangling []string `json:"dangling"`                // links to nothing in the image
			Bytes    [][]byte `json:"danglingBytes,omitempty"` // of those that are not UTF-8
		}{rows, total, lost, notText(lost)})
	}
	if err := errors.Join(o.line(w, total, "total"), w.Flush()); err != nil {
		return err
	}
	if len(lost) > 0 {
		say.notef("%s to nothing in the image, such as %q; --json lists all", linksLead(len(lost)), lost[0])
	}
	return nil
}

func linksLead(n int) string {
	if n == 1 {
		return "1 link leads"
	}
	return fmt.Sprintf("%d links lead", n)
}

// line prints a line as du does.
func (o *lsOptions) line(w io.Writer, size int64, name string) error {
	shown := duSize(size)
	if o.bytes {
		shown = fmt.Sprint(size)
	}
	_, err := fmt.Fprintf(w, "%s\t%s\n", shown, name)
	return err
}

// duSize formats a size as du -h does: rounded up, with one decimal below ten units.
func duSize(n int64) string {
	if n < 1024 {
		return fmt.Sprint(n)
	}
	const units = "KMGTPE"
	unit := uint64(1024)
	for i := range units {
		tenths := ceil(uint64(n), unit, 10)
		if whole := ceil(uint64(n), unit, 1); tenths >= 100 {
			if whole >= 1024 && i+1 < len(units) {
				unit *= 1024
				continue
			}
			return fmt.Sprintf("%d%c", whole, units[i])
		}
		return fmt.Sprintf("%d.%d%c", tenths/10, tenths%10, units[i])
	}
	panic("unreachable: the last unit has no next one")
}

// ceil returns n/unit in parts of a whole, rounded up.
func ceil(n, unit, parts uint64) uint64 {
	whole, rest := n/unit, n%unit
	return whole*parts + (rest*parts+unit-1)/unit
}

// files returns the files of an existing image, or of the one that would be made.
func (o *lsOptions) files(ctx context.Context, t terminal, say *speaker) (_ *rootfs.Lower, closing func() error, err error) {
	word, ok, err := o.fromImage()
	if err != nil {
		return nil, nil, err
	}
	if ok {
		image, in, err := o.inspectFlags.open(ctx, t.in, say, &o.cacheFlags, word)
		if err != nil {
			return nil, nil, err
		}
		tree, err := readLayers(ctx, say, image, ocilayout.TreeOptions{Facts: o.facts(), Hash: narHash})
		if err != nil {
			return nil, nil, errors.Join(err, in.Close())
		}
		return tree.Lower, in.Close, nil
	}
	var platform ispec.Platform
	if o.platform != "" {
		if platform, err = parsePlatform(o.platform); err != nil {
			return nil, nil, err
		}
	}
	a, err := o.assemble(ctx, t, say, platform)
	if err != nil {
		return nil, nil, err
	}
	files := a.baseImage.lower()
	if files == nil {
		files = rootfs.NewLower("")
	}
	for _, l := range a.overlay.Layers {
		for _, path := range l.Hidden { // in the base image; the overlay already removed others
			files.Remove(path)
		}
	}
	for e, err := range rootfs.Join(a.overlay.Flatten()) {
		if err == nil {
			err = files.Put(rootfs.LowerEntry{Entry: e})
		}
		if err != nil {
			return nil, nil, errors.Join(err, a.Close())
		}
	}
	return files, a.Close, nil
}

// bytesOf returns the bytes of a name that is not UTF-8, or nil. JSON has them in base 64.
func bytesOf(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

// notText returns the names that are not UTF-8.
func notText(names []string) (b [][]byte) {
	for _, name := range names {
		if odd := bytesOf(name); odd != nil {
			b = append(b, odd)
		}
	}
	return b
}
