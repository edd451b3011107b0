package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
)

// action is the work for one cell of the table. lab.measure runs it once per round, and deletes its results.
type action func() (sample, error)

// measure runs an action once the disk is idle and free memory is available. A virtual machine may have returned
// its free memory to the host. The first process to need it then waits for it three times as long as for writing a file.
func (l *lab) measure(name string) (sample, error) {
	act, ok := l.actions[name]
	if !ok {
		return sample{}, fmt.Errorf("no action %q", name)
	}
	syscall.Sync()
	if err := l.awaitPause(); err != nil {
		return sample{}, err
	}
	if _, err := l.output(self(), "-child", "memory"); err != nil {
		return sample{}, err
	}
	s, err := act()
	return s, errors.Join(err, l.discard("out"), l.discard("cache"))
}

// path returns a path in the scratch directory. out and cache belong to the current action.
func (l *lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.scratch}, elem...)...)
}

// image returns a command that makes an image. If flags contradict each other, the last one wins.
func (l *lab) image(profile, dir string, flags ...string) []string {
	args := []string{l.program, "image", "--quiet", "--compression", compression, "--profile", profile}
	return append(append(args, flags...), "oci:"+dir+":v1")
}

func (l *lab) allActions() map[string]action {
	actions := map[string]action{
		"umoci insert": l.umoci, "buildah": l.buildah, "skopeo": l.skopeo,
		"tar": l.tar, "cp -a": l.copyStore, "nix-store --import": l.nixImport, "rootfs": l.rootfs,
		"same, new layout":  l.sameNewLayout,
		"same, same layout": l.sameLayout,
		"same, opens":       l.sameOpens,
		"same, copied":      l.sameCopied,
		"cp blobs":          l.copyBlobs,
		"closure":           l.closure,
		"why":               l.why,
		"nix path-info":     l.nixPathInfo,
		"nix why-depends":   l.nixWhyDepends,
		"closure 10000":     l.closureMany,
		"why 10000":         l.whyMany,
		"plan 10000":        func() (sample, error) { return l.planMany(10_000) },
		"plan 50000":        func() (sample, error) { return l.planMany(50_000) },
		"image 10x":         l.imageMany,
		"same 10000":        l.sameMany,
	}
	for name, dropped := range map[string]bool{"": false, ", empty page cache": true} {
		actions["check"+name] = func() (sample, error) { return l.check(dropped) }
		actions["read once"+name] = func() (sample, error) { return l.readOnce(dropped) }
	}
	for _, c := range []string{"none", "gzip", "zstd", "zstd:3", "zstd:chunked"} {
		actions["cold "+c] = func() (sample, error) { return l.cold(l.base.profile, "--compression", c) }
	}
	for _, c := range []string{"none", "gzip", "zstd"} {
		actions["many files "+c] = func() (sample, error) { return l.manyFiles(c) }
	}
	for _, of := range cacheCompressions {
		actions["nix copy, "+of] = func() (sample, error) { return l.nixCopy(of) }
		for _, c := range []string{"gzip", "none"} {
			actions["from "+of+", "+c] = func() (sample, error) { return l.fromBinaryCache(of, c) }
		}
	}
	for _, c := range []string{"gzip", "zstd"} {
		for _, n := range workers {
			actions[fmt.Sprintf("cold %s, %d workers", c, n)] = func() (sample, error) { return l.coldWorkers(c, n) }
			actions[fmt.Sprintf("bound %s, %d workers", c, n)] = func() (sample, error) { return l.bound(c, n) }
		}
	}
	packages := closures[l.options.small]
	for name, pkg := range map[string]string{"leaf": packages.leaf, "library": packages.mid} {
		with := func(act func(g *generation) (sample, error)) action {
			return func() (sample, error) {
				g, err := l.revision(pkg, renamed)
				if err != nil {
					return sample{}, err
				}
				return act(g)
			}
		}
		actions[name] = with(l.update)
		actions[name+" pushed"] = with(l.push)
		actions[name+" alone"] = with(func(g *generation) (sample, error) { return l.changedAlone(name, g) })
		actions[name+" new bytes"] = with(func(g *generation) (sample, error) { return l.newBytes(g) })
		actions[name+" new bytes, previous"] = with(func(g *generation) (sample, error) {
			if err := l.has("--previous"); err != nil {
				return sample{}, err
			}
			return l.newBytes(g, "--previous", l.path("warm-layout")+":v1")
		})
		actions[name+" tar.gz"] = with(l.changedTar)
	}
	actions["podman push"] = l.podmanPushes
	maps.Copy(actions, l.largeActions())
	for _, u := range updates {
		for _, writer := range []string{"zstd", "zstd:chunked", podmanWriter} {
			actions[u.action(writer)] = func() (sample, error) {
				pkg := u.pkg
				if l.options.small {
					pkg = packages.mid
				}
				g, err := l.revision(pkg, u.how)
				if err != nil {
					return sample{}, err
				}
				return l.pull(writer, g)
			}
		}
	}
	return actions
}

// cold makes an image with an empty cache and fills the cache, like a user's first run.
func (l *lab) cold(profile string, flags ...string) (sample, error) {
	s, err := l.run(l.image(profile, l.path("out"), append(flags, "--cache", l.path("cache"))...)...)
	return withSize(s, err, l.path("out/blobs"))
}

// warm makes an image, and so a cache with all its layers.
func (l *lab) warm() error {
	return l.prepared("a warm cache", func() error {
		_, err := l.run(l.image(l.base.profile, l.path("warm-layout"), "--cache", l.path("warm"))...)
		if err != nil {
			return err
		}
		return checkLayers(l.path("warm"), l.path("warm-layout"))
	})
}

// checkLayers checks that a cache contains the blobs of a layout. Otherwise the measured runs would be first runs.
func checkLayers(cache, layout string) error {
	known, err := diskSize(cache)
	if err != nil {
		return err
	}
	all, err := diskSize(filepath.Join(layout, "blobs"))
	if err == nil && known < all/2 {
		return &notAvailableError{"a cache of layers"}
	}
	return err
}

func (l *lab) sameNewLayout() (sample, error) {
	if err := l.warm(); err != nil {
		return sample{}, err
	}
	return l.run(l.image(l.base.profile, l.path("out"), "--cache", l.path("warm"))...)
}

func (l *lab) sameLayout() (sample, error) {
	if err := l.warm(); err != nil {
		return sample{}, err
	}
	return l.run(l.image(l.base.profile, l.path("warm-layout"), "--cache", l.path("warm"))...)
}

// sameOpens counts the files opened below the store, without the store directory itself.
// strace -y resolves the directories of relative names and the opened files.
func (l *lab) sameOpens() (sample, error) {
	if err := l.warm(); err != nil {
		return sample{}, err
	}
	trace := l.path("trace")
	s, err := l.run(append([]string{"strace", "-f", "-y", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", trace},
		l.image(l.base.profile, l.path("out"), "--cache", l.path("warm"))...)...)
	if err != nil {
		return s, err
	}
	b, err := os.ReadFile(trace)
	s.Size = int64(len(belowStore.FindAll(b, -1)))
	return s, err
}

var belowStore = regexp.MustCompile(`(?m)^.*(/nix/store/|/nix/store>, ").*$`)

func (l *lab) warmElsewhere() error {
	return l.prepared("a warm cache on another file system", func() error {
		layout, cache := filepath.Join(l.mounted, "layout"), filepath.Join(l.mounted, "cache")
		if _, err := l.run(l.image(l.base.profile, layout, "--cache", cache)...); err != nil {
			return err
		}
		return checkLayers(cache, layout)
	})
}

func (l *lab) sameCopied() (sample, error) {
	if err := l.warmElsewhere(); err != nil {
		return sample{}, err
	}
	return l.run(l.image(l.base.profile, l.path("out"), "--cache", filepath.Join(l.mounted, "cache"))...)
}

func (l *lab) copyBlobs() (sample, error) {
	if err := l.warmElsewhere(); err != nil {
		return sample{}, err
	}
	return l.run("cp", "-r", filepath.Join(l.mounted, "layout/blobs"), l.path("out"))
}

// update makes an image of another generation, with a cache that contains the previous one.
func (l *lab) update(g *generation) (sample, error) {
	if err := l.warm(); err != nil {
		return sample{}, err
	}
	if _, err := l.output("cp", "-al", l.path("warm"), l.path("cache")); err != nil {
		return sample{}, err
	}
	return l.run(l.image(g.profile, l.path("out"), "--cache", l.path("cache"))...)
}

// changedAlone makes an image of only the paths that an update changed, without a cache.
func (l *lab) changedAlone(name string, g *generation) (sample, error) {
	root := l.path(name + "-changed")
	err := l.prepared("a store of the changed paths: "+name, func() error {
		list := root + ".list"
		if err := writeList(list, g.changed(l.base)); err != nil {
			return err
		}
		_, err := l.output(self(), "-child", "subset", g.profile, list, root)
		return err
	})
	if err != nil {
		return sample{}, err
	}
	object, err := filepath.EvalSymlinks(g.profile)
	if err != nil {
		return sample{}, err
	}
	return l.run(l.image(object, l.path("out"), "--no-cache", "--from", root, "--platform", "linux/"+runtime.GOARCH)...)
}

// newBytes counts the bytes of another generation's image that a registry with the base's image lacks.
func (l *lab) newBytes(g *generation, flags ...string) (sample, error) {
	var missing *notAvailableError // a cache makes no difference here
	if err := l.warm(); err != nil && !errors.As(err, &missing) {
		return sample{}, err
	}
	s, err := l.run(l.image(g.profile, l.path("out"), append(flags, "--cache", l.path("cache"))...)...)
	if err != nil {
		return s, err
	}
	return s, filepath.WalkDir(l.path("out/blobs/sha256"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, err := os.Stat(l.path("warm-layout/blobs/sha256", d.Name())); err == nil {
			return nil
		}
		fi, err := d.Info()
		if err == nil {
			s.Size += fi.Size()
		}
		return err
	})
}

// changedTar makes one compressed archive of the changed paths, with the compressor of the images' layers.
func (l *lab) changedTar(g *generation) (sample, error) {
	list := l.path("changed.list")
	if err := writeList(list, g.changed(l.base)); err != nil {
		return sample{}, err
	}
	s, err := l.script(`tar --hard-dereference -cf - -C / -T "$1" | "$2" -child compress >"$3"`, list, self(), l.path("out"))
	return withSize(s, err, l.path("out"))
}

func (l *lab) closure() (sample, error) {
	return l.run(l.program, "closure", "--quiet", "--profile", l.base.profile)
}

func (l *lab) nixPathInfo() (sample, error) {
	return l.run("nix", "path-info", "-rS", l.base.profile)
}

func (l *lab) why() (sample, error) {
	to, err := l.base.deepest()
	if err != nil {
		return sample{}, err
	}
	return l.run(l.program, "why", "--quiet", "--profile", l.base.profile, to)
}

func (l *lab) nixWhyDepends() (sample, error) {
	to, err := l.base.deepest()
	if err != nil {
		return sample{}, err
	}
	return l.run("nix", "why-depends", l.base.profile, to)
}

// deepest returns the path of the C library, which nearly all other paths need.
func (g *generation) deepest() (string, error) {
	for _, path := range g.closure {
		if strings.Contains(path, "-libc6-2") {
			return "/" + strings.TrimPrefix(path, "/"), nil
		}
	}
	return "", errors.New("no libc6 in the closure")
}

// imageMany makes an image of ten times as many store objects, all small.
func (l *lab) imageMany() (sample, error) {
	root := l.path("many")
	count := fmt.Sprint(10 * len(l.base.closure))
	err := l.prepared(count+" small store objects", func() error {
		_, err := l.output(self(), "-child", "synthesize", root, count, "20", "files")
		return err
	})
	if err != nil {
		return sample{}, err
	}
	object, err := os.ReadFile(root + "/object")
	if err != nil {
		return sample{}, err
	}
	return l.cold(string(object), "--from", root, "--platform", "linux/"+runtime.GOARCH)
}

// sameMany makes an image of 10,000 small store objects again, in which nothing changed.
func (l *lab) sameMany() (sample, error) {
	root := l.path("many-same")
	args := func() ([]string, error) {
		object, err := os.ReadFile(root + "/object")
		return l.image(string(object), root+"-layout", "--from", root, "--platform", "linux/"+runtime.GOARCH, "--cache", root+"-cache"), err
	}
	err := l.prepared("an image of 10000 small store objects", func() error {
		if _, err := l.output(self(), "-child", "synthesize", root, "10000", "20", "files"); err != nil {
			return err
		}
		command, err := args()
		if err == nil {
			_, err = l.run(command...)
		}
		return err
	})
	if err != nil {
		return sample{}, err
	}
	command, err := args()
	if err != nil {
		return sample{}, err
	}
	return l.run(command...)
}

// manyFiles makes an image of a store path with a million empty files in one directory.
func (l *lab) manyFiles(compression string) (sample, error) {
	const object = "/nix/store/00000000000000000000000000000001-files"
	root := l.path("many-files")
	references := root + "/references"
	err := l.prepared("a directory of 1000000 files", func() error {
		if err := os.MkdirAll(root+object, 0o755); err != nil {
			return err
		}
		for i := range 1_000_000 {
			if err := os.WriteFile(fmt.Sprintf("%s%s/file-%07d-name", root, object, i), nil, 0o444); err != nil {
				return err
			}
		}
		return os.WriteFile(references, []byte(object+"\n\n0\n"), 0o644) // without hashes, so that the files are read once
	})
	if err != nil {
		return sample{}, err
	}
	return l.cold(object, "--from", root, "--references", references, "--platform", "linux/"+runtime.GOARCH, "--compression", compression)
}

// graph makes the database of a store with count paths of 20 references each, which are empty directories.
// object is the path that needs all others.
func (l *lab) graph(count int) (root, object string, err error) {
	root = l.path(fmt.Sprintf("graph-%d", count))
	err = l.prepared(fmt.Sprintf("%d empty store paths with 20 references each", count), func() error {
		_, err := l.output(self(), "-child", "synthesize", root, fmt.Sprint(count), "20")
		return err
	})
	if err != nil {
		return root, "", err
	}
	b, err := os.ReadFile(root + "/object")
	return root, string(b), err
}

// planMany finds a closure of count paths of 20 references each in a database, and plans its layers.
func (l *lab) planMany(count int) (sample, error) {
	root, _, err := l.graph(count)
	if err != nil {
		return sample{}, err
	}
	return l.run(self(), "-child", "plan", root)
}

func (l *lab) closureMany() (sample, error) {
	root, object, err := l.graph(10_000)
	if err != nil {
		return sample{}, err
	}
	return l.run(l.program, "closure", "--quiet", "--from", root, "--profile", object)
}

// whyMany asks why the first path is in the closure: it has no references, and many others lead to it.
func (l *lab) whyMany() (sample, error) {
	root, object, err := l.graph(10_000)
	if err != nil {
		return sample{}, err
	}
	return l.run(l.program, "why", "--quiet", "--from", root, "--profile", object, "synthetic-00000")
}

// withSize sets the size of a result.
func withSize(s sample, err error, path string) (sample, error) {
	if err != nil {
		return s, err
	}
	s.Size, err = diskSize(path)
	return s, err
}
