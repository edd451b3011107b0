package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust"
)

const closureHelp = `examples:
  export-profile closure
  export-profile closure --profile ./result --sort closure --top 10
  export-profile closure --from hello.export --tree
  export-profile closure --from https://cache.example.com --profile /nix/store/…-hello-1.0 --json
  export-profile closure --from docker://registry.example.com/team/hello:v1

Lists each store path that a profile needs, with its own size and the size of its closure,
as nix path-info -rsSh does. It reads no file of the store.

--from can also be an image: oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker://NAME.
An image does not record references, so the first run finds them in the files of all its layers.
`

type closureOptions struct {
	closureFlags
	inspectFlags
	outputFlags
	sort       string
	top        int
	bytes      bool
	tree       bool
	jsonFormat int
}

func setupClosure(fs *pflag.FlagSet) runFunc {
	o := &closureOptions{}
	o.closureFlags.flags(fs)
	o.closureFlags.cacheFlags.flags(fs)
	o.closureFlags.images = &o.inspectFlags
	fs.StringVar(&o.sort, "sort", "needs", "`needs|path|size|closure` sort dependencies first, by path, or largest first")
	fs.IntVar(&o.top, "top", 0, "list only the first `N` store paths")
	fs.BoolVar(&o.bytes, "bytes", false, "print sizes in bytes")
	fs.BoolVar(&o.tree, "tree", false, "draw the references as a tree; [...] marks what was drawn before")
	fs.IntVar(&o.jsonFormat, "json-format", 2, "`1|2` with --json, print this version of Nix's format")
	o.inspectFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if err := noOperands("closure", args); err != nil {
			return err
		}
		return o.run(ctx, t)
	}
}

func (o *closureOptions) run(ctx context.Context, t terminal) (err error) {
	switch {
	case !slices.Contains([]string{"needs", "path", "size", "closure"}, o.sort):
		return usagef("as in --sort closure", "--sort %q: want needs, path, size or closure", o.sort)
	case o.jsonFormat != 1 && o.jsonFormat != 2:
		return usagef("", "--json-format %d: want 1 or 2", o.jsonFormat)
	case o.tree && (o.json || o.top != 0 || o.sort != "needs"):
		return usagef("leave out --tree: --json has each path with its references", "--tree takes no --sort, --top or --json")
	case o.top < 0:
		return usagef("as in --top 10", "--top: want a number from 1 on, not %d", o.top)
	}
	say := o.speaker(t)
	defer say.close()
	closure, store, err := o.find(ctx, t, say)
	if err != nil {
		return err
	}
	defer say.closing(&err, store)

	graph := profile.NewGraph(closure)
	if o.tree {
		w := bufio.NewWriter(t.out)
		d := drawing{w: w, label: func(p profile.Path) string { return string(p) + "  " + o.size(graph.ClosureSize(p)) }}
		for _, root := range closure.Roots {
			d.draw(root, graph.References)
		}
		return errors.Join(d.err, w.Flush())
	}
	infos := graph.Order()
	switch o.sort {
	case "path":
		infos = slices.Clone(graph.Infos)
	case "size":
		slices.SortStableFunc(infos, func(a, b *profile.Info) int {
			return cmp.Or(cmp.Compare(b.NarSize, a.NarSize), cmp.Compare(a.Path, b.Path))
		})
	case "closure":
		slices.SortStableFunc(infos, func(a, b *profile.Info) int {
			return cmp.Or(cmp.Compare(graph.ClosureSize(b.Path), graph.ClosureSize(a.Path)), cmp.Compare(a.Path, b.Path))
		})
	}
	if o.top > 0 {
		infos = infos[:min(o.top, len(infos))]
	}
	if o.json {
		return o.printJSON(t.out, graph, infos)
	}
	w := bufio.NewWriter(t.out) // unbuffered lines would take longer than all the rest
	width := 0
	for _, info := range infos {
		width = max(width, len(info.Path))
	}
	for _, info := range infos {
		fmt.Fprintf(w, "%-*s %s %s\n", width, info.Path, o.size(info.NarSize), o.size(graph.ClosureSize(info.Path)))
	}
	return w.Flush()
}

func (o *closureOptions) size(n int64) string {
	if o.bytes {
		return fmt.Sprintf("%11d", n)
	}
	return fmt.Sprintf("%10s", nixSize(n))
}

// nixInfo is an object in the JSON of nix path-info. Its null means unknown.
type nixInfo struct {
	CA          any      `json:"ca"`
	ClosureSize int64    `json:"closureSize"`
	Deriver     *string  `json:"deriver"`
	NarHash     *string  `json:"narHash"`
	NarSize     int64    `json:"narSize"`
	References  []string `json:"references"`
	Signatures  []string `json:"signatures"`
	StoreDir    string   `json:"storeDir"`
	Version     int      `json:"version"`
}

func (o *closureOptions) printJSON(w io.Writer, graph *profile.Graph, infos []*profile.Info) error {
	spell := func(p profile.Path) string { return string(p) }
	if o.jsonFormat == 2 {
		spell = profile.Path.Base
	}
	rows := make(map[string]nixInfo, len(infos))
	for _, info := range infos {
		row := nixInfo{
			ClosureSize: graph.ClosureSize(info.Path), NarSize: info.NarSize,
			References: []string{}, Signatures: append([]string{}, info.Signatures...),
			StoreDir: info.Path.StoreDir().String(), Version: o.jsonFormat,
		}
		if s, ok := trust.GuixSignature(info); ok {
			row.Signatures = append(row.Signatures, s)
		}
		slices.Sort(row.Signatures)
		for _, r := range info.References {
			row.References = append(row.References, spell(r))
		}
		if info.Deriver != "" {
			s := spell(info.Deriver)
			row.Deriver = &s
		}
		if info.NarHash.Known() {
			s := info.NarHash.SRI()
			row.NarHash = &s
		}
		switch {
		case info.CA == "":
		case o.jsonFormat == 1:
			row.CA = info.CA
		default:
			row.CA = structuredCA(info.CA)
		}
		rows[spell(info.Path)] = row
	}
	if o.jsonFormat == 1 {
		return printJSON(w, rows)
	}
	return printJSON(w, map[string]any{"info": rows, "storeDir": graph.StoreDir.String(), "version": 2})
}

// structuredCA returns a content address in the form of format 2, or unchanged if its form is unknown.
func structuredCA(ca string) any {
	method, hash, ok := strings.Cut(ca, ":")
	if m, h, fixed := strings.Cut(hash, "r:"); method == "fixed" && fixed && m == "" {
		method, hash = "nar", h
	} else if method == "fixed" {
		method = "flat"
	}
	algorithm, digest, _ := strings.Cut(hash, ":")
	h, err := profile.ParseHash(algorithm + ":" + digest)
	if !ok || err != nil {
		return ca
	}
	return map[string]string{"method": method, "hash": h.SRI()}
}
