package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// examplePackage is a package of the example that the manual has a picture of.
type examplePackage struct {
	name, version, licence string
	kilobytes              int
	needs                  string // names, separated by spaces
	next                   string // its version in the second release, if it is another one; "-" if it is gone
	grows                  int    // kilobytes that this version has more
}

// exampleStore has the packages of a made-up web service, in an order in which each needs only earlier ones.
var exampleStore = []examplePackage{
	{"libunistring", "1.1", "LGPL-3.0-or-later", 1900, "", "", 0},
	{"libidn2", "2.3.7", "LGPL-3.0-or-later", 350, "libunistring", "", 0},
	{"glibc", "2.39-52", "LGPL-2.1-or-later", 29000, "libidn2", "", 0},
	{"gcc", "13.2.0-lib", "GPL-3.0-or-later WITH GCC-exception-3.1", 8900, "glibc", "", 0},
	{"bash", "5.2p26", "GPL-3.0-or-later", 1600, "glibc", "", 0},
	{"coreutils", "9.5", "GPL-3.0-or-later", 3200, "glibc", "", 0},
	{"zlib", "1.3.1", "Zlib", 130, "glibc", "", 0},
	{"xz", "5.4.6", "0BSD", 800, "glibc", "5.6.2", 36},
	{"bzip2", "1.0.8", "bzip2-1.0.6", 80, "glibc", "", 0},
	{"zstd", "1.5.6", "BSD-3-Clause", 1100, "glibc", "", 0},
	{"libxml2", "2.12.6", "MIT", 1700, "zlib xz", "", 0},
	{"openssl", "3.0.13", "Apache-2.0", 6400, "glibc", "3.0.14", 140},
	{"libssh2", "1.11.0", "BSD-3-Clause", 330, "openssl zlib", "", 0},
	{"nghttp2", "1.61.0-lib", "MIT", 190, "glibc", "", 0},
	{"curl", "8.7.1", "curl", 1100, "libssh2 nghttp2 openssl zlib zstd libidn2", "8.8.0", -85},
	{"ncurses", "6.4", "MIT", 2100, "glibc", "", 0},
	{"readline", "8.2p10", "GPL-3.0-or-later", 440, "ncurses", "", 0},
	{"sqlite", "3.45.3", "blessing", 1500, "readline zlib", "", 0},
	{"expat", "2.6.2", "MIT", 220, "glibc", "", 0},
	{"libffi", "3.4.6", "MIT", 75, "glibc", "", 0},
	{"mpdecimal", "4.0.0", "BSD-2-Clause", 420, "gcc", "", 0},
	{"tzdata", "2024a", "", 1900, "", "2024b", 12},
	{"python3", "3.12.3", "PSF-2.0", 21000, "bash bzip2 expat libffi mpdecimal ncurses openssl readline sqlite tzdata xz zlib", "3.12.4", 460},
	{"python3.12-greenlet", "3.0.3", "MIT", 620, "python3 gcc", "", 0},
	{"python3.12-gevent", "24.2.1", "MIT", 4300, "python3.12-greenlet python3", "", 0},
	{"python3.12-gunicorn", "22.0.0", "MIT", 900, "python3", "", 0},
	{"python3.12-lxml", "5.2.1", "BSD-3-Clause", 5200, "libxml2 python3", "-", 0},
	{"cacert", "3.98", "MPL-2.0", 520, "", "3.101", -14},
	{"web", "1.8.0", "", 2600, "bash cacert coreutils curl python3.12-gevent python3.12-gunicorn python3.12-lxml", "1.9.0", 310},
}

// writeExampleStore writes the store of the first or second release, and returns the base name of its profile.
func writeExampleStore(t *testing.T, dir string, second bool) (root string) {
	t.Helper()
	bases := make(map[string]string)
	for i, p := range exampleStore {
		version := p.version
		if second && p.next != "" {
			version = p.next
		}
		if version == "-" {
			continue
		}
		var needs []string
		for name := range strings.FieldsSeq(p.needs) {
			if base, ok := bases[name]; ok {
				needs = append(needs, base)
			}
		}
		// As with Nix, the hash follows from all that the package is made of.
		sum := sha256.Sum256([]byte(p.name + version + strings.Join(needs, " ")))
		base := strings.Map(func(r rune) rune { return rune("0123456789abcdfg"[strings.IndexRune("0123456789abcdef", r)]) }, hex.EncodeToString(sum[:16])) + "-" + p.name + "-" + version
		bases[p.name], root = base, base
		object := filepath.Join(dir, "nix/store", base)
		if err := os.MkdirAll(object+"/lib", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(object+"/needs", []byte(strings.Join(needs, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		seed := uint64(i)
		if version != p.version {
			seed += 1000
		}
		kilobytes := p.kilobytes
		if version != p.version {
			kilobytes += p.grows
		}
		for file, left := 0, kilobytes<<10; left > 0; file++ {
			size := min(left, 400<<10)
			left -= size
			if version != p.version && file%3 == 2 { // a new release has some new files
				seed = uint64(i)
			}
			random := rand.New(rand.NewPCG(seed, uint64(file)))
			content := make([]byte, size)
			for j := 0; j+8 <= size; j += 8 {
				if j%4096 < 1400 { // the rest are zeros, so that it compresses to a third
					binary.LittleEndian.PutUint64(content[j:], random.Uint64())
				}
			}
			if err := os.WriteFile(fmt.Sprintf("%s/lib/%03d", object, file), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// examplePage makes both releases of the example and returns the page that compares them.
func examplePage(t *testing.T) string {
	t.Helper()
	t.Chdir(t.TempDir())
	packages := make(map[string]any)
	for _, p := range exampleStore {
		if p.licence != "" {
			packages[p.name] = map[string]any{"licenses": []any{map[string]string{"spdx": p.licence}}}
		}
	}
	metadata, err := json.Marshal(map[string]any{"version": 1, "packages": packages})
	if err == nil {
		err = os.WriteFile("metadata.json", metadata, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	program := func(args ...string) {
		t.Helper()
		if status := run(t.Context(), args, terminal{out: &out, err: &stderr}); status != 0 {
			t.Fatalf("%q: %s", args, stderr.String())
		}
	}
	for i, release := range []string{"1.8.0", "1.9.0"} {
		profile := writeExampleStore(t, release, i == 1)
		args := []string{"image", "--quiet", "--cache", "cache", "--from", release, "--profile", profile, "--platform", "linux/amd64",
			"--compression", "zstd:chunked", "--layers", "auto", "--max-layers", "12", "--created", fmt.Sprintf("2024-0%d-11T09:30:00Z", 5+i)}
		if i == 1 {
			args = append(args, "--previous", "oci:web:1.8.0")
		}
		program(append(args, "oci:web:"+release)...)
	}
	program("report", "--quiet", "--cache", "cache", "--metadata", "metadata.json", "oci:web:1.8.0", "oci:web:1.9.0", "page.html")
	return readFile(t, "page.html")
}

// TestReportPicture checks that the picture in the manual shows the current page: the picture records the hash of the page that it was made of.
// With -update, the test takes it anew, which needs chromium:
//
//	go test ./cmd/export-profile -run TestReportPicture -update
func TestReportPicture(t *testing.T) {
	file, err := filepath.Abs("report.png")
	if err != nil {
		t.Fatal(err)
	}
	page := examplePage(t)
	want := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(page)))
	if *update {
		takePicture(t, file, want)
	}
	picture := readFile(t, file)
	if len(picture) > 150_000 {
		t.Errorf("report.png has %d bytes; want at most 150,000", len(picture))
	}
	config, err := png.DecodeConfig(strings.NewReader(picture))
	if err != nil || config.Width != pictureWidth || config.Height != pictureHeight {
		t.Errorf("report.png is %d × %d, %v; want %d × %d", config.Width, config.Height, err, pictureWidth, pictureHeight)
	}
	if !strings.Contains(picture, "tEXt"+pageKey+"\x00"+want) {
		t.Errorf("report.png is not of the current page: go test ./cmd/export-profile -run TestReportPicture -update, and look at it")
	}
}

const (
	pictureWidth, pictureHeight = 1280, 1910
	pageKey                     = "Page" // of the text chunk with the hash of the page
)

// takePicture takes a picture of page.html with chromium, and reduces it to 256 colours.
func takePicture(t *testing.T, file, hash string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000",
		"--user-data-dir="+t.TempDir(), fmt.Sprintf("--window-size=%d,%d", pictureWidth, 2*pictureHeight), "--screenshot="+dir+"/page.png", "file://"+dir+"/page.html").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	full, err := png.Decode(strings.NewReader(readFile(t, "page.png")))
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[color.RGBA]int)
	b := image.Rect(0, 0, pictureWidth, pictureHeight) // the window is higher, since chromium leaves its lower part blank
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			counts[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	byCount := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	near := func(c color.Color, distance int) bool {
		return slices.ContainsFunc(palette, func(p color.Color) bool {
			a, b := c.(color.RGBA), p.(color.RGBA)
			return max(int(a.R)-int(b.R), int(b.R)-int(a.R), int(a.G)-int(b.G), int(b.G)-int(a.G), int(a.B)-int(b.B), int(b.B)-int(a.B)) < distance
		})
	}
	for distance := 1; distance == 1 || len(palette) > 256; distance++ { // of rare colours, too
		palette = nil
		for _, c := range byCount {
			if !near(c, distance) {
				palette = append(palette, c)
			}
		}
	}
	reduced := image.NewPaletted(b, palette)
	draw.Draw(reduced, b, full, b.Min, draw.Src)
	var encoded bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&encoded, reduced); err != nil {
		t.Fatal(err)
	}
	// A text chunk goes before the last chunk, which is empty: length, type and checksum.
	text := []byte("tEXt" + pageKey + "\x00" + hash)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(text)-4))
	chunk = binary.BigEndian.AppendUint32(append(chunk, text...), crc32.ChecksumIEEE(text))
	picture := slices.Insert(encoded.Bytes(), encoded.Len()-12, chunk...)
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
