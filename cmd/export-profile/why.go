package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
)

const whyHelp = `examples:
  export-profile why zstd
  export-profile why --profile ./result curl openssl
  export-profile why --from hello.export --precise glibc
  export-profile why --all zlib
  export-profile why --from oci:hello:v1 zstd

Draws the shortest chain of references that brings TO into the closure, as nix why-depends does,
and shows what would leave if TO left. The chain starts at the profile, or at FROM.
FROM and TO are store paths, their base names, or names with or without a version.
--from can also be an image, as for closure.
`

type whyOptions struct {
	closureFlags
	inspectFlags
	outputFlags
	all, precise bool
}

func setupWhy(fs *pflag.FlagSet) runFunc {
	o := &whyOptions{}
	o.closureFlags.flags(fs)
	o.closureFlags.cacheFlags.flags(fs)
	o.closureFlags.images = &o.inspectFlags
	fs.BoolVar(&o.all, "all", false, "draw all chains; [...] marks what was drawn before")
	fs.BoolVar(&o.precise, "precise", false, "show the files that contain the references, and the bytes around them")
	o.inspectFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) != 1 && len(args) != 2 {
			return usagef("as in export-profile why zstd", "why: want [FROM] TO, not %d words", len(args))
		}
		if err := strayImage("why", args); err != nil {
			return err
		}
		return o.run(ctx, t, args)
	}
}

// whyResult is an element of the JSON result.
type whyResult struct {
	From         profile.Path   `json:"from"`
	To           profile.Path   `json:"to"`
	Chain        []profile.Path `json:"chain"` // null if there is none
	Without      []profile.Path `json:"exclusive"`
	WithoutBytes int64          `json:"exclusiveBytes"`
}

func (o *whyOptions) run(ctx context.Context, t terminal, args []string) (err error) {
	if o.json && (o.all || o.precise) {
		return usagef("", "--json has only the shortest chain: leave out --all and --precise")
	}
	say := o.speaker(t)
	defer say.close()
	closure, store, err := o.find(ctx, t, say)
	if err != nil {
		return err
	}
	defer say.closing(&err, store)

	graph := profile.NewGraph(closure)
	to, err := findOne(graph, args[len(args)-1])
	if err != nil {
		return err
	}
	from := closure.Roots
	if len(args) == 2 {
		p, err := findOne(graph, args[0])
		if err != nil {
			return err
		}
		from = []profile.Path{p}
	}
	var gone []profile.Path
	var bytes int64
	for _, info := range graph.Without(to, closure.Roots...) {
		gone = append(gone, info.Path)
		bytes += info.NarSize
	}
	var result []whyResult
	for _, f := range from {
		result = append(result, whyResult{f, to, graph.Why(f, to), gone, bytes})
	}
	if o.json {
		return printJSON(t.out, result)
	}
	for _, w := range result {
		if err := o.draw(ctx, t.out, store, graph, closure.Roots, w); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.out, "without it, %d of %d paths would leave, %s of %s\n", len(gone), len(closure.Infos),
		nixSize(bytes), nixSize(closure.Size()))
	return nil
}

// draw draws why y.From needs y.To.
func (o *whyOptions) draw(ctx context.Context, w io.Writer, store profile.Store, graph *profile.Graph, roots []profile.Path, y whyResult) error {
	switch {
	case y.Chain == nil:
		_, err := fmt.Fprintf(w, "%s does not need %s\n", y.From, y.To)
		return err
	case y.From == y.To && !slices.Contains(roots, y.To):
		_, err := fmt.Fprintf(w, "%s is in the closure; FROM and TO are the same\n", y.To)
		return err
	case y.From == y.To:
		_, err := fmt.Fprintf(w, "%s is a root of the closure\n", y.To)
		return err
	}
	ways := make(map[profile.Path][]profile.Path)
	if o.all {
		ways = graph.WhyAll(y.From, y.To)
	} else {
		for i, p := range y.Chain[:len(y.Chain)-1] {
			ways[p] = y.Chain[i+1 : i+2]
		}
	}
	var failed error
	d := drawing{w: w, label: func(p profile.Path) string { return string(p) }}
	if o.precise {
		d.edge = func(p, ref profile.Path) []string {
			hits, err := findReferences(ctx, store, p, ref, o.all)
			failed = errors.Join(failed, err)
			return hits
		}
	}
	d.draw(y.From, func(p profile.Path) []profile.Path { return ways[p] })
	return errors.Join(failed, d.err)
}

// findOne finds the one object that a word names.
func findOne(graph *profile.Graph, word string) (profile.Path, error) {
	found := profile.Find(graph.Infos, word)
	if len(found) == 1 {
		return found[0].Path, nil
	}
	if len(found) > 0 {
		var all strings.Builder
		for _, info := range found {
			fmt.Fprintf(&all, "\n  %s", info.Path)
		}
		return "", withHint(fmt.Errorf("find %q: it names several store paths:%s", word, &all), "name one of them: export-profile why %s", found[0].Path.Base())
	}
	err := fmt.Errorf("find %q: no store path in the closure has that name", word)
	var names []string
	for _, info := range graph.Infos {
		name, _ := profile.SplitName(info.Path.Name())
		names = append(names, name)
	}
	if near := nearest(word, names); near != "" {
		return "", withHint(err, "did you mean %s?", near)
	}
	return "", withHint(err, "`export-profile closure` lists all store paths")
}
