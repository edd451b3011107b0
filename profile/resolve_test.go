package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
)

// graph is a store without files. It maps the name of each object to the names that it refers to.
type graph map[string]string

// object returns the store path of a name, with a digest made from the name.
func object(name string) Path {
	digest := strings.Repeat("0", digestLen-len(name)) + strings.NewReplacer("e", "0", "o", "0", "t", "0", "u", "0").Replace(name)
	p, err := ParseBase(digest + "-" + name)
	if err != nil {
		panic(err)
	}
	return p
}

func (g graph) Info(_ context.Context, p Path) (*Info, error) {
	refs, ok := g[p.Name()]
	if !ok || p != object(p.Name()) {
		return nil, fmt.Errorf("store path %q: %w", p, fs.ErrNotExist)
	}
	info := &Info{Path: p, NarSize: int64(100 + len(refs)), NarHash: Hash{1}}
	for _, r := range strings.Fields(refs) {
		info.References = append(info.References, object(r))
	}
	info.References = sortPaths(info.References)
	return info, nil
}

func (g graph) Files(context.Context, Path) rootfs.Tree {
	return func(func(rootfs.Entry, error) bool) {}
}

func (g graph) Close() error { return nil }

func (g graph) Paths(context.Context) ([]Path, error) {
	var paths []Path
	for name := range g {
		paths = append(paths, object(name))
	}
	return sortPaths(paths), nil
}

// rooted is a graph with profile links in a directory.
type rooted struct {
	graph
	root string
}

func (r rooted) Readlink(name string) (string, error) { return hostLinks{}.Readlink(r.root + name) }

func (r rooted) Inside(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, r.root+"/")
	return "/" + rest, ok
}

func TestResolve(t *testing.T) {
	host, root := t.TempDir(), t.TempDir()
	store := "/nix/store/"
	for _, link := range []struct{ at, target string }{
		{host + "/result", store + object("p").Base()},
		{host + "/deep", store + object("p").Base() + "/bin/sh"},
		{host + "/hop", "result"},
		{host + "/up", "sub/../hop"},
		{host + "/dir", "sub"},
		{host + "/sub/back", "../result"},
		{host + "/dangling", "gone"},
		{host + "/lost", store + object("lost").Base()},
		{host + "/circle", "circle"},
		{host + "/bad", store + "no-store-path"},
		{host + "/into", root + "/nix/var/nix/profiles/default"},
		{host + "/physical", root + "/nix/store/" + object("p").Base()},
		{host + "/logical", "/nix/var/nix/profiles/default"},
		{root + "/nix/var/nix/profiles/default", "default-1-link"},
		{root + "/nix/var/nix/profiles/default-1-link", store + object("p").Base()},
		{root + "/nix/var/nix/profiles/abs", "/home/alice/profile"},
		{root + "/home/alice/profile", store + object("q").Base()},
	} {
		if err := os.MkdirAll(filepath.Dir(link.at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(link.target, link.at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(host+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	g := graph{"p": "q", "q": ""}
	for _, test := range []struct {
		name    string
		in      string
		rooted  bool // run in a store with a root
		hosted  bool // run in a store without a root
		want    string
		err     string
		missing bool
	}{
		{name: "store path", in: string(object("p")), rooted: true, hosted: true, want: "p"},
		{name: "file in an object", in: string(object("p")) + "/bin/sh", rooted: true, hosted: true, want: "p"},
		{name: "not clean", in: "/nix//store/./" + object("p").Base() + "/", rooted: true, hosted: true, want: "p"},
		{name: "base name", in: object("p").Base(), rooted: true, hosted: true, want: "p"},
		{name: "result link", in: host + "/result", rooted: true, hosted: true, want: "p"},
		{name: "below a link", in: host + "/result/bin/sh", rooted: true, hosted: true, want: "p"},
		{name: "link below an object", in: host + "/deep", rooted: true, hosted: true, want: "p"},
		{name: "two hops", in: host + "/hop", rooted: true, hosted: true, want: "p"},
		{name: "dots in a link", in: host + "/up", rooted: true, hosted: true, want: "p"},
		{name: "through a linked directory", in: host + "/dir/back", rooted: true, hosted: true, want: "p"},
		{name: "dangling", in: host + "/dangling", rooted: true, hosted: true, err: "dangling link: it leads to", missing: true},
		{name: "missing", in: host + "/nothing", rooted: true, hosted: true, err: "no such file", missing: true},
		{name: "not in the store", in: host + "/lost", rooted: true, hosted: true, err: object("lost").Base(), missing: true},
		{name: "circle", in: host + "/circle", rooted: true, hosted: true, err: "more than 1024 links"},
		{name: "out of the store", in: host + "/file", rooted: true, hosted: true, err: "leads out of the store: it ends at"},
		{name: "invalid store path", in: host + "/bad", rooted: true, hosted: true, err: "a hash of 32 characters"},
		{name: "from the host into the root", in: host + "/into", rooted: true, want: "p"},
		{name: "link to an object's location on disk", in: host + "/physical", rooted: true, want: "p"},
		{name: "link below /nix", in: host + "/logical", rooted: true, want: "p"},
		{name: "location on disk", in: root + "/nix/var/nix/profiles/default", rooted: true, want: "p"},
		{name: "name inside the root", in: "/nix/var/nix/profiles/default", rooted: true, want: "p"},
		{name: "absolute link inside the root", in: "/nix/var/nix/profiles/abs", rooted: true, want: "q"},
	} {
		for _, s := range []struct {
			kind  string
			store Store
			run   bool
		}{{"hosted", g, test.hosted}, {"rooted", rooted{g, root}, test.rooted}} {
			if !s.run {
				continue
			}
			t.Run(test.name+"/"+s.kind, func(t *testing.T) {
				got, err := Resolve(t.Context(), s.store, test.in)
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) || errors.Is(err, fs.ErrNotExist) != test.missing {
						t.Errorf("Resolve(%q) = %v, %v; want an error with %q, not-exist %v", test.in, got, err, test.err, test.missing)
					}
					return
				}
				if err != nil || got.Path != object(test.want) || got.Name != test.in {
					t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", test.in, got, err, object(test.want))
				}
			})
		}
	}

	t.Run("relative", func(t *testing.T) {
		t.Chdir(host)
		for _, name := range []string{"result", "./result", "sub/back"} {
			if got, err := Resolve(t.Context(), g, name); err != nil || got.Path != object("p") {
				t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", name, got, err, object("p"))
			}
		}
	})

	t.Run("default link", func(t *testing.T) {
		if got, err := Default(t.Context(), rooted{graph{"p": "", "x": ""}, root}); err != nil || got.Path != object("p") {
			t.Errorf("Default() = %v, %v; want %q, <nil>", got, err, object("p"))
		}
	})
}

func TestDefault(t *testing.T) {
	for _, test := range []struct {
		name  string
		graph graph
		want  string
		err   string
	}{
		{"one", graph{"p": ""}, "p", ""},
		{"top", graph{"p": "q r", "q": "r", "r": ""}, "p", ""},
		{"top refers to itself", graph{"p": "p q", "q": "q"}, "p", ""},
		{"two", graph{"p": "q", "q": "", "r": "q"}, "", "2 objects that nothing else refers to: " + object("p").Base() + ", " + object("r").Base()},
		{"circle", graph{"p": "q", "q": "p"}, "", "no object that nothing else refers to among 2"},
		{"nothing", graph{}, "", "no object that nothing else refers to among 0"},
	} {
		got, err := Default(t.Context(), test.graph)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: Default() = %v, %v; want an error with %q", test.name, got, err, test.err)
			}
			continue
		}
		if err != nil || got.Path != object(test.want) {
			t.Errorf("%s: Default() = %v, %v; want %q, <nil>", test.name, got, err, object(test.want))
		}
	}
}

func TestFindClosure(t *testing.T) {
	for _, test := range []struct {
		name  string
		graph graph
		roots string
		want  string
		err   string
	}{
		{"alone", graph{"p": "", "x": ""}, "p", "p", ""},
		{"diamond", graph{"p": "q r", "q": "s", "r": "s", "s": "", "x": "p"}, "p", "p q r s", ""},
		{"itself", graph{"p": "p q", "q": "q"}, "p", "p q", ""},
		{"circle", graph{"p": "q", "q": "r", "r": "p"}, "q", "p q r", ""},
		{"two roots", graph{"p": "s", "q": "s", "s": "", "x": ""}, "p q", "p q s", ""},
		{"one root twice", graph{"p": ""}, "p p", "p", ""},
		{"one root in the other", graph{"p": "q", "q": ""}, "p q", "p q", ""},
		{"missing", graph{"p": "q r", "q": "s"}, "p", "", "2 missing from the store: " +
			object("r").Base() + " (needed by " + object("p").Base() + "), " + object("s").Base() + " (needed by " + object("q").Base() + ")"},
		{"root missing", graph{}, "p p", "", "1 missing from the store: " + object("p").Base()},
	} {
		t.Run(test.name, func(t *testing.T) {
			var roots []Path
			for _, r := range strings.Fields(test.roots) {
				roots = append(roots, object(r))
			}
			c, err := FindClosure(t.Context(), test.graph, roots...)
			if test.err != "" {
				if err == nil || !strings.HasSuffix(err.Error(), test.err) || !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("FindClosure(%s) = %v, %v; want an error with %q", test.roots, c, err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			size := int64(0)
			for _, p := range c.Parts(t.Context()) {
				got = append(got, p.Name[digestLen+1:])
				size += p.Size
				if p.Key != "sha256:01"+strings.Repeat("00", 31) {
					t.Errorf("part %s has the key %q", p.Name, p.Key)
				}
				for _, ref := range p.Refs {
					if ref == p.Root {
						t.Errorf("part %s refers to itself", p.Name)
					}
				}
			}
			if d := cmp.Diff(strings.Fields(test.want), got); d != "" {
				t.Errorf("FindClosure(%s) (-want +got):\n%s", test.roots, d)
			}
			if size != c.Size() {
				t.Errorf("Size() = %d; want %d", c.Size(), size)
			}
		})
	}
}

// doubting is a graph with some untrusted objects.
type doubting struct {
	graph
	doubts string
}

func (d doubting) Info(ctx context.Context, p Path) (*Info, error) {
	if slices.Contains(strings.Fields(d.doubts), p.Name()) {
		info, err := d.graph.Info(ctx, p)
		if err != nil {
			return nil, err
		}
		return info, fmt.Errorf("%s: %w", p.Name(), ErrUntrusted)
	}
	return d.graph.Info(ctx, p)
}

// TestFindClosureUntrusted checks that one error names both untrusted and missing objects.
func TestFindClosureUntrusted(t *testing.T) {
	s := doubting{graph{"p": "q r gone", "q": "s", "r": "", "s": ""}, "r s"}
	c, err := FindClosure(t.Context(), s, object("p"))
	want := "find closure: 1 missing from the store: " + object("gone").Base() + " (needed by " + object("p").Base() +
		"); 2 not trusted: r: not trusted, s: not trusted"
	if err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrUntrusted) {
		t.Errorf("FindClosure = %v, %v; want %s", c, err, want)
	}
	s = doubting{graph{"p": "r", "r": ""}, "r"}
	if _, err := FindClosure(t.Context(), s, object("p")); errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrUntrusted) {
		t.Errorf("FindClosure = %v; want %v", err, ErrUntrusted)
	}
}

// TestFindClosureAllUntrusted checks that the error also names objects to which only untrusted ones refer.
func TestFindClosureAllUntrusted(t *testing.T) {
	g := graph{"p": "q r", "q": "s", "r": "s gone", "s": ""}
	want := "find closure: 1 missing from the store: " + object("gone").Base() +
		"; 4 not trusted: p: not trusted, q: not trusted, r: not trusted, s: not trusted"
	for _, s := range []Store{doubting{g, "p q r s"}, Chain(graph{}, doubting{g, "p q r s"})} {
		p, err := Resolve(t.Context(), s, string(object("p")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FindClosure(t.Context(), s, p.Path); err == nil || err.Error() != want {
			t.Errorf("FindClosure = %v; want %s", err, want)
		}
	}
}

// endless is a store that invents untrusted objects without end.
type endless struct{ graph }

func (endless) Info(_ context.Context, p Path) (*Info, error) {
	var n int
	_, _ = fmt.Sscanf(p.Name(), "n%d", &n)
	return &Info{Path: p, References: []Path{object(fmt.Sprint("n", n+1))}}, fmt.Errorf("%s: %w", p.Name(), ErrUntrusted)
}

// TestFindClosureEndless checks that the search through untrusted objects ends.
func TestFindClosureEndless(t *testing.T) {
	var e *ClosureError
	if _, err := FindClosure(t.Context(), endless{}, object("n0")); !errors.As(err, &e) || len(e.Untrusted) != maxUntrusted+1 {
		t.Errorf("FindClosure = %v; want %d not trusted", err, maxUntrusted+1)
	}
}

// failing is a graph that returns an error for one object.
type failing struct {
	graph
	at  string
	err error
}

func (f failing) Info(ctx context.Context, p Path) (*Info, error) {
	if p.Name() == f.at {
		return nil, f.err
	}
	return f.graph.Info(ctx, p)
}

// TestFindClosureFails checks that an unexpected error ends the search.
func TestFindClosureFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := FindClosure(t.Context(), failing{graph{"p": "q gone", "q": ""}, "q", broken}, object("p")); !errors.Is(err, broken) {
		t.Errorf("FindClosure in a broken store = %v; want %v", err, broken)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := FindClosure(ctx, graph{"p": ""}, object("p")); !errors.Is(err, broken) {
		t.Errorf("FindClosure, cancelled = %v; want %v", err, broken)
	}
}

// TestFindClosureDeep checks that a long chain needs no deep recursion.
func TestFindClosureDeep(t *testing.T) {
	const n = 100_000
	g := make(graph, n)
	for i := range n {
		g[fmt.Sprint("n", i)] = fmt.Sprint("n", (i+1)%n)
	}
	c, err := FindClosure(t.Context(), g, object("n0"))
	if err != nil || len(c.Infos) != n {
		t.Errorf("FindClosure of a circle of %d = %v; want all of it", n, err)
	}
}

// sortPaths sorts paths and drops duplicates.
func sortPaths(paths []Path) []Path {
	slices.Sort(paths)
	return slices.Compact(paths)
}
