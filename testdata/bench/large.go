package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Quantities of a large store, per byte of its objects.
var (
	secondsPerGB = quantity{"s/GB", 2, func(s sample) float64 { return s.Wall * 1e9 / float64(s.Input) }}
	bytesPerByte = quantity{"MB/GB", 1, func(s sample) float64 { return float64(s.Size) * 1e3 / float64(s.Input) }}
)

// largeRows compares large stores with a tenth and a fifth of the largest. A value that grows with the size has a ratio of 1.
func largeRows() []row {
	var rows []row
	for _, of := range []struct{ what, action string }{
		{"25 GB in 5,000 paths", "large 5000"},
		{"5 GB in 1,000 paths", "large 1000"},
	} {
		rows = append(rows,
			row{what: "cold, gzip, " + of.what + " : 2.5 GB in 500, per byte", ours: of.action, peer: "large 500", value: secondsPerGB, limit: 1.1},
			row{what: "cold, gzip, " + of.what + " : 2.5 GB in 500, layout and cache, per byte", ours: of.action, peer: "large 500", value: bytesPerByte, limit: 1.1})
	}
	const perPath = 8 << 10
	for _, count := range []int{500, 5000} {
		rows = append(rows, row{what: fmt.Sprintf("cold, gzip, %d paths of 5 MB, peak RSS", count), ours: fmt.Sprint("large ", count), value: memory,
			limit: float64(64+32*cores()) + float64(count*perPath)/(1<<20), target: "≤ 64 MiB + 32 MiB a core + 8 KiB a path"})
	}
	return append(rows,
		row{what: "nothing changed, 25 GB in 5,000 paths", ours: "large 5000 same", value: seconds, limit: 0.1, target: "≤ 0.1 s"},
		row{what: "50 of 5,000 paths changed, --previous : 5 of 500, per byte", ours: "large 5000 previous", peer: "large 500 previous",
			value: secondsPerGB, limit: 1.1},
		row{what: "verify, 25 GB in 5,000 paths : 2.5 GB in 500, per byte", ours: "large 5000 verify", peer: "large 500 verify", value: secondsPerGB, limit: 1.1},
	)
}

// largeActions returns the actions of stores with 500, 1,000 and 5,000 paths, of 5 MB each.
func (l *lab) largeActions() map[string]action {
	actions := make(map[string]action)
	for _, count := range []int{500, 1000, 5000} {
		name := fmt.Sprint("large ", count)
		layout, cache := l.path(fmt.Sprint("large-layout-", count)), l.path(fmt.Sprint("large-cache-", count))
		flags := func(cache string) []string {
			return []string{"--from", l.large(count), "--platform", "linux/" + runtime.GOARCH, "--cache", cache}
		}
		// built makes an image of the store and a cache of its layers, and returns the path in a file of the store.
		built := func(file string) (string, error) {
			object, err := l.largeObject(count, file)
			if err != nil {
				return "", err
			}
			first, err := l.largeObject(count, "object")
			if err != nil {
				return "", err
			}
			return object, l.prepared("an image of "+name, func() error {
				_, err := l.run(l.image(first, layout, flags(cache)...)...)
				return err
			})
		}
		counted := func(s sample, err error) (sample, error) {
			s.Input = int64(count) * largeSize
			return s, err
		}
		actions[name] = func() (sample, error) {
			object, err := l.largeObject(count, "object")
			if err != nil {
				return sample{}, err
			}
			if err := os.Mkdir(l.path("out"), 0o755); err != nil {
				return sample{}, err
			}
			s, err := l.run(l.image(object, l.path("out/layout"), flags(l.path("out/cache"))...)...)
			if err != nil {
				return s, err
			}
			s.Size, err = diskSize(l.path("out"))
			return counted(s, err)
		}
		actions[name+" same"] = func() (sample, error) {
			object, err := built("object")
			if err != nil {
				return sample{}, err
			}
			return counted(l.run(l.image(object, l.path("out"), flags(cache)...)...))
		}
		actions[name+" previous"] = func() (sample, error) {
			object, err := built("revised")
			if err != nil {
				return sample{}, err
			}
			return counted(l.run(l.image(object, l.path("out"), append(flags(l.path("cache")), "--previous", "oci:"+layout+":v1")...)...))
		}
		actions[name+" verify"] = func() (sample, error) {
			if _, err := built("object"); err != nil {
				return sample{}, err
			}
			return counted(l.run(l.program, "verify", "oci:"+layout+":v1"))
		}
	}
	return actions
}

// large returns the root of a large store.
func (l *lab) large(count int) string { return l.path(fmt.Sprint("large-", count)) }

// largeObject makes a large store, and returns the path in one of its files.
func (l *lab) largeObject(count int, file string) (string, error) {
	root := l.large(count)
	err := l.prepared(fmt.Sprintf("a store of %d paths and %.1f GB", count, float64(count)*largeSize/1e9), func() error {
		_, err := l.output(self(), "-child", "large-store", root, fmt.Sprint(count))
		return err
	})
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(root + "/" + file)
	return strings.TrimSpace(string(b)), err
}
