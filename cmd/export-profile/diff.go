package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
)

const diffHelp = `examples:
  export-profile diff oci:hello:v1 oci:hello:v2
  export-profile diff docker://registry.example.com/team/hello:v1 ./result
  export-profile diff --from hello.export /nix/store/…-hello-1.0 /nix/store/…-hello-1.1
  export-profile diff --max-growth 5% docker://registry.example.com/team/hello:latest oci:hello:v2

Shows which packages were added, removed or changed from A to B, as nix store diff-closures does,
and how their sizes differ. For two images it also shows which layers they share,
and what a machine that has A fetches to get B: by layers and, if they are zstd:chunked, by chunks.

A and B are images: oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker://NAME;
or profiles, result links or store paths in the store of --from.
Of images that export-profile made, it reads only the manifest, the config and the tables of chunks.

By chunks means what podman, buildah and CRI-O ask for with partial pulls: the chunks that no layer of A has,
small gaps between them, and the tables of the layers that A lacks. HTTP headers come on top.
A registry that sends no ranges leaves this unknown.

--max-size and --max-growth set a limit; above it, the exit status is 3 and an error gives the reason.
They count the bytes of blobs if A and B are both images, and otherwise those of store paths.

On a terminal, bars show how much each package grew (░) or shrank (▒), what A and B share, and what is fetched.
`

type diffOptions struct {
	closureFlags
	inspectFlags
	outputFlags
	bars               barsFlag
	maxSize, maxGrowth string
}

func setupDiff(fs *pflag.FlagSet) runFunc {
	o := &diffOptions{}
	o.sourceFlags.flags(fs)
	o.closureFlags.cacheFlags.flags(fs)
	fs.StringVar(&o.maxSize, "max-size", "", "exit with status 3 if B is larger than `SIZE`, such as 500MB")
	fs.StringVar(&o.maxGrowth, "max-growth", "", "exit with status 3 if B is larger than A by more than `SIZE`, such as 20MB or 5%")
	o.inspectFlags.flags(fs)
	o.outputFlags.flags(fs)
	o.bars.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		switch {
		case len(args) == 1:
			return usagef("name a second one to compare with: export-profile diff "+args[0]+" oci:hello:v2",
				"diff: want two images or profiles, and %q is one", args[0])
		case len(args) != 2:
			return usagef("as in export-profile diff oci:hello:v1 oci:hello:v2", "diff: want two images or profiles, not %d", len(args))
		}
		return o.run(ctx, t, args[0], args[1])
	}
}

// side is one of the two things to compare.
type side struct {
	word  string
	infos []*profile.Info  // sorted by path; perhaps without references if from an image
	image *ocilayout.Image // nil for a profile
	close func() error
}

// historyDigits is the number of digits of a NAR hash in an image's history.
const historyDigits = 12

// identities returns the first digits of the NAR hash of each object, or "" if it is unknown.
func (s *side) identities() map[profile.Path]string {
	all := make(map[profile.Path]string, len(s.infos))
	for _, info := range s.infos {
		if all[info.Path] = ""; info.NarHash.Known() {
			all[info.Path] = info.NarHash.Hex()[:historyDigits]
		}
	}
	return all
}

func (s *side) narSize() (sum int64) {
	for _, info := range s.infos {
		sum += info.NarSize
	}
	return sum
}

func (o *diffOptions) run(ctx context.Context, t terminal, a, b string) (err error) {
	say := o.speaker(t)
	defer say.close()
	budget, err := parseBudget(o.maxSize, o.maxGrowth)
	if err != nil {
		return err
	}
	if len(o.sourceFlags.from) > 0 && isImage(a) && isImage(b) {
		return usagef("leave out --from", "--from locates profiles, but both are images")
	}
	var sides []*side
	var store profile.Store // of profiles, opened once
	defer func() {
		for _, s := range sides {
			say.closing(&err, closer(s.close))
		}
		if store != nil {
			say.closing(&err, store)
		}
	}()
	for _, word := range []string{a, b} {
		var s *side
		if isImage(word) {
			s, err = o.imageSide(ctx, t.in, say, word)
		} else {
			if store == nil {
				if store, err = o.sourceFlags.open(ctx, t, say, &o.cacheFlags); err != nil {
					return err
				}
			}
			s, err = closureSide(ctx, store, word)
		}
		if err != nil {
			return err
		}
		sides = append(sides, s)
	}
	d := compareSides(sides[0], sides[1])
	of, size, before := "store paths", d.B.NarSize, d.A.NarSize
	if d.Layers != nil {
		of, size, before = "blobs", d.B.Size, d.A.Size
		f, err := sides[0].image.FetchChunks(ctx, sides[1].image)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		d.Layers.set(f, err)
	}
	d.Exceeded = append(d.Exceeded, budget.exceeded(fmt.Sprintf("%q", b), of, size, &before)...)
	if o.json {
		err = printJSON(t.out, d)
	} else {
		err = d.print(t.out, o.bars.columns(t.out))
	}
	if err == nil && len(d.Exceeded) > 0 {
		err = exceeded(d.Exceeded)
	}
	return err
}

// imageSide reads an image. If this program made all of its layers, the history is enough.
func (o *diffOptions) imageSide(ctx context.Context, stdin io.Reader, say *speaker, word string) (*side, error) {
	image, in, err := o.inspectFlags.open(ctx, stdin, say, &o.cacheFlags, word)
	if err != nil {
		return nil, err
	}
	s := &side{word: word, image: image, close: in.Close}
	visible, foreign := image.VisibleObjects()
	if foreign == 0 {
		for _, h := range visible {
			info, err := historyInfo(image.StoreDir, h)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("image %q: %w", word, err), in.Close())
			}
			s.infos = append(s.infos, info)
		}
		return s, nil
	}
	store, err := readImageStore(ctx, say, image, in, o.facts())
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	for _, p := range store.paths {
		info, err := store.Info(ctx, p)
		if err != nil {
			return nil, errors.Join(err, in.Close())
		}
		s.infos = append(s.infos, info)
	}
	return s, nil
}

// historyInfo returns the info of an object from the history. It pads the NAR hash with zeros.
func historyInfo(dir profile.StoreDir, h ocilayout.VisibleObject) (*profile.Info, error) {
	p, err := profile.ParseBase(dir, h.Name)
	if err != nil {
		return nil, err
	}
	info := &profile.Info{Path: p, NarSize: h.Size}
	if h.Hash != "" {
		info.NarHash, err = profile.ParseHash("sha256:" + h.Hash + strings.Repeat("0", 64-len(h.Hash)))
	}
	return info, err
}

func closureSide(ctx context.Context, store profile.Store, word string) (*side, error) {
	p, err := profile.Resolve(ctx, store, word)
	if err != nil {
		return nil, withHint(err, "an image is %s; a profile is in this machine's store, or in the one of --from", strings.TrimPrefix(imageExample, "as in "))
	}
	closure, err := profile.FindClosure(ctx, store, p.Path)
	if err != nil {
		return nil, err
	}
	return &side{word: word, infos: closure.Infos, close: func() error { return nil }}, nil
}
