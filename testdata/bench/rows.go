package main

import "fmt"

// row compares an action of export-profile with one of another tool, or with a limit.
type row struct {
	what       string
	ours, peer string // actions; without a peer, ours itself is compared with the limit
	value      quantity
	less       float64 // allowed fixed cost of a run, subtracted from ours before the ratio
	per        bool    // compare values per byte of the result
	limit      float64 // maximum of the ratio or, without a peer, of ours
	target     string  // the limit for people; if empty, "≤ limit", or none if limit is 0
}

// quantity is a measured quantity.
type quantity struct {
	unit   string
	digits int
	of     func(sample) float64
}

var (
	seconds = quantity{"s", 2, func(s sample) float64 { return s.Wall }}
	content = quantity{"MB", 2, func(s sample) float64 { return float64(s.Size) / 1e6 }}
	memory  = quantity{"MiB", 0, func(s sample) float64 { return float64(s.RSS) / (1 << 20) }}
	opens   = quantity{"open()", 0, func(s sample) float64 { return float64(s.Size) }}
)

// rows returns the rows of the table. A row without a target is only for information.
func rows() []row {
	rows := []row{
		{what: "cold, gzip : umoci insert", ours: "cold gzip", peer: "umoci insert", value: seconds, limit: 0.32},
		{what: "cold, gzip : umoci insert, size", ours: "cold gzip", peer: "umoci insert", value: content, limit: 1.15},
		{what: "cold, zstd : umoci insert", ours: "cold zstd", peer: "umoci insert", value: seconds, limit: 0.28},
		{what: "cold, zstd : umoci insert, size", ours: "cold zstd", peer: "umoci insert", value: content, limit: 1.0},
		{what: "cold, zstd:3 : umoci insert", ours: "cold zstd:3", peer: "umoci insert", value: seconds, limit: 0.28},
		{what: "cold, zstd:3 : umoci insert, size", ours: "cold zstd:3", peer: "umoci insert", value: content, limit: 1.0},
		{what: "cold, none : tar --hard-dereference", ours: "cold none", peer: "tar", value: seconds, limit: 1.0},
	}
	for _, of := range cacheCompressions {
		for _, c := range []string{"gzip", "none"} {
			limit := map[string]float64{"xz": 1, "zstd": 0.8}[of]
			rows = append(rows, row{what: "image from a cache with " + of + ", " + c + " : nix copy", ours: "from " + of + ", " + c, peer: "nix copy, " + of,
				value: seconds, limit: limit})
		}
	}
	for _, c := range []string{"gzip", "zstd"} {
		for _, n := range workers {
			on := fmt.Sprintf("%s, %d workers", c, n)
			rows = append(rows, row{what: "cold, " + on + " : hash and compress from memory", ours: "cold " + on, peer: "bound " + on,
				value: seconds, limit: 1.05})
		}
	}
	rows = append(rows, []row{
		{what: "nothing changed, new layout", ours: "same, new layout", value: seconds, limit: 0.05, target: "≤ 0.05 s"},
		{what: "nothing changed, same layout", ours: "same, same layout", value: seconds, limit: 0.05, target: "≤ 0.05 s"},
		{what: "nothing changed, files of the store opened", ours: "same, opens", value: opens, limit: 0, target: "0"},
		{what: "nothing changed, blobs copied : cp -r", ours: "same, copied", peer: "cp blobs", value: seconds, limit: 1.2},

		{what: "a leaf changed : the changed paths alone", ours: "leaf", peer: "leaf alone", value: seconds,
			less: 0.05, limit: 1.3, target: "≤ 0.05 s + 1.3 ×"},
		{what: "a leaf changed, pushed over the previous image, no cache", ours: "leaf pushed", value: seconds, limit: 2, target: "≤ 2 s"},
		{what: "a library changed : the changed paths alone", ours: "library", peer: "library alone", value: seconds},
	}...)
	for _, of := range []string{"leaf", "library"} {
		rows = append(rows,
			row{what: "a " + of + " changed, bytes to push, --previous : tar.gz of the changed paths", ours: of + " new bytes, previous",
				peer: of + " tar.gz", value: content, less: 0.064, limit: 1.1, target: "≤ 64 KB + 1.10 ×"},
			row{what: "a " + of + " changed, bytes to push : tar.gz of the changed paths", ours: of + " new bytes", peer: of + " tar.gz", value: content})
	}
	for _, u := range updates {
		bytes := row{what: u.what + ", bytes pulled, zstd:chunked : podman's writer", ours: u.action("zstd:chunked"), peer: u.action(podmanWriter), value: content}
		rows = append(rows,
			row{what: u.what + ", bytes pulled, zstd:chunked", ours: bytes.ours, value: content, limit: u.limit, target: u.target},
			bytes,
			row{what: u.what + ", bytes pulled, zstd:chunked : zstd", ours: bytes.ours, peer: u.action("zstd"), value: content},
			row{what: u.what + ", time of a pull, zstd:chunked : podman's writer", ours: bytes.ours, peer: bytes.peer, value: seconds, limit: 1},
		)
	}
	rows = append(rows,
		row{what: "cold, zstd:chunked : zstd, size", ours: "cold zstd:chunked", peer: "cold zstd", value: content, limit: 1.05},
		row{what: "cold, zstd:chunked : zstd", ours: "cold zstd:chunked", peer: "cold zstd", value: seconds, limit: 1.25},
		row{what: "cold, zstd:chunked : podman push", ours: "cold zstd:chunked", peer: "podman push", value: seconds, limit: 0.10},
		row{what: "cold, zstd:chunked, peak RSS", ours: "cold zstd:chunked", value: memory,
			limit: float64(64 + 48*cores()), target: "≤ 64 MiB + 48 MiB a core"},
	)
	rows = append(rows, largeRows()...)
	return append(rows,
		row{what: "export-profile DIR : nix-store --export, --import", ours: "rootfs", peer: "nix-store --import", value: seconds, limit: 0.4},
		row{what: "export-profile DIR : cp -a, per byte", ours: "rootfs", peer: "cp -a", value: seconds, per: true, limit: 0.8},
		row{what: "cold, gzip, peak RSS", ours: "cold gzip", value: memory,
			limit: float64(64 + 32*cores()), target: "≤ 64 MiB + 32 MiB a core"},
		row{what: "cold, zstd, peak RSS", ours: "cold zstd", value: memory,
			limit: float64(64 + 32*cores()), target: "≤ 64 MiB + 32 MiB a core"},
		row{what: "1,000,000 files in one directory, none, peak RSS", ours: "many files none", value: memory, limit: 64, target: "≤ 64 MiB"},
		row{what: "1,000,000 files in one directory, gzip, peak RSS", ours: "many files gzip", value: memory, limit: 64, target: "≤ 64 MiB"},
		row{what: "1,000,000 files in one directory, zstd, peak RSS", ours: "many files zstd", value: memory, limit: 64, target: "≤ 64 MiB"},
		row{what: "cold, 10 × the paths : cold, gzip, peak RSS", ours: "image 10x", peer: "cold gzip", value: memory, limit: 1.5},
		row{what: "closure : nix path-info -rS", ours: "closure", peer: "nix path-info", value: seconds, limit: 2},
		row{what: "why : nix path-info -rS", ours: "why", peer: "nix path-info", value: seconds, limit: 2},
		row{what: "why : nix why-depends", ours: "why", peer: "nix why-depends", value: seconds},
		row{what: "closure, 10,000 paths, 200,000 references", ours: "closure 10000", value: seconds, limit: 0.5, target: "≤ 0.5 s"},
		row{what: "why, 10,000 paths, 200,000 references", ours: "why 10000", value: seconds, limit: 0.5, target: "≤ 0.5 s"},
		row{what: "closure and plan, 10,000 paths, 200,000 references", ours: "plan 10000", value: seconds, limit: 0.5, target: "≤ 0.5 s"},
		row{what: "closure and plan, 50,000 paths, 1,000,000 references", ours: "plan 50000", value: seconds, limit: 2, target: "≤ 2 s"},
		row{what: "nothing changed, same layout, 10,000 paths, 200,000 references", ours: "same 10000", value: seconds, limit: 0.1, target: "≤ 0.1 s"},
		row{what: "check, empty page cache : read every file once", ours: "check, empty page cache", peer: "read once, empty page cache", value: seconds, limit: 1.2},
		row{what: "check, warm page cache : read every file once", ours: "check", peer: "read once", value: seconds},
		row{what: "cold, gzip : skopeo from a docker-archive", ours: "cold gzip", peer: "skopeo", value: seconds},
		row{what: "cold, gzip : buildah copy, commit", ours: "cold gzip", peer: "buildah", value: seconds},
	)
}
