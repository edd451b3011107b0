package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// measurement is the result of a run, with its time and memory.
type measurement struct {
	Status   int
	Out, Err string
	Peak     int64 // most bytes of memory at a time
	Duration time.Duration
	TimedOut bool
}

// measure runs the built program: the test binary would start with more memory.
func measure(t *testing.T, args ...string) (m measurement) {
	t.Helper()
	return measureFrom(t, nil, args...)
}

// measureFrom measures a run whose standard input is a file.
func measureFrom(t *testing.T, stdin *os.File, args ...string) (m measurement) {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if stdin != nil {
		cmd.Stdin = stdin
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	close(ended)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return measurement{cmd.ProcessState.ExitCode(), out.String(), said.String(), <-peak, time.Since(begin), ctx.Err() != nil}
}

// watch reads the memory of a process every two milliseconds until it ends, and returns the peak
// without mapped parts of its file.
//
// rusage would not do: its peak starts at the peak of the parent process, and that of a test is high.
func watch(pid int, ended <-chan struct{}) (peak int64) {
	for {
		select {
		case <-ended:
			return peak
		case <-time.After(2 * time.Millisecond):
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		most, ofFile := int64(-1), int64(-1)
		for line := range strings.Lines(string(b)) {
			fmt.Sscanf(line, "VmHWM: %d kB", &most)
			fmt.Sscanf(line, "RssFile: %d kB", &ofFile)
		}
		if most >= 0 && ofFile >= 0 { // negative once the process ended
			peak = max(peak, (most-ofFile)<<10)
		}
	}
}

// allowedMemory is the memory that a hostile input may cost, above the idle program and its window.
const allowedMemory = 64 << 20

// workerMemory is the memory that each compressing worker may cost in addition. Each processor has one worker.
const workerMemory = 32 << 20

// processors sets the number of processors of the measured programs, since each takes some memory.
func processors(t *testing.T, n int) {
	t.Setenv("GOMAXPROCS", fmt.Sprint(n))
}

const window128 = 128 << 20

type hostileSource struct {
	name   string
	args   func(t *testing.T) []string
	want   string // part of the error
	window int64
}

// TestHostile checks that inputs made to use much memory end with an error and use little.
func TestHostile(t *testing.T) {
	processors(t, 2)
	idle := measure(t, "version").Peak
	for _, h := range hostileSources() {
		t.Run(h.name, func(t *testing.T) {
			dest := filepath.Join(t.TempDir(), "dest")
			args := append([]string{"image", "oci:" + dest, "--platform=linux/amd64", "--quiet", "--cache=" + t.TempDir()}, h.args(t)...)
			m := measure(t, args...)
			switch {
			case m.TimedOut:
				t.Errorf("not finished after %v", m.Duration)
			case m.Status != 1 || m.Out != "" || !strings.HasPrefix(m.Err, "export-profile: error: ") || !strings.Contains(m.Err, h.want):
				t.Errorf("exit status %d, %q on standard output, and it says %.2000q; want 1, nothing, and …%s…", m.Status, m.Out, m.Err, h.want)
			}
			if left := snapshot(t, filepath.Dir(dest)); len(left) > 0 {
				t.Errorf("%d files or directories are left at the destination", len(left))
			}
			t.Logf("%d MiB more than idle in %v: %.300s", (m.Peak-idle)>>20, m.Duration.Round(time.Millisecond), m.Err)
			if got := m.Peak - idle; got > allowedMemory+h.window && !testrun.Race {
				t.Errorf("%d MiB more than the idle program; want at most %d", got>>20, (allowedMemory+h.window)>>20)
			}
		})
	}
}

func hostileSources() []hostileSource {
	all := []hostileSource{
		{name: "window of 256 MiB, zstd", want: "zstd: window larger than 128 MiB", args: sourceFile(zstdFrame(28, nil, 0))},
		{name: "window of 1 GiB in one segment, zstd", want: "zstd: window larger than 128 MiB", args: sourceFile(append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, 0, 0, 0, 0x40, 1, 0, 0))},
		{name: "window of 192 MiB, xz", want: "xz: window larger than 128 MiB: 201326592 bytes", args: sourceFile(xzHeader(31))},
		{name: "window of 4 GiB, xz", want: "xz: window larger than 128 MiB: 4294967295 bytes", args: sourceFile(xzHeader(40))},
		{name: "window of 144 MiB, lzip", want: "lzip: window larger than 128 MiB: 150994944 bytes", args: sourceFile([]byte("LZIP\x01\xfc\x00\x00\x00\x00\x00"))},
		{name: "window of 256 MiB, zstd, in a cache", want: "zstd: window larger than 128 MiB", args: sourceCache("zstd", zstdFrame(28, nil, 0))},
		{name: "window of 192 MiB, xz, in a cache", want: "xz: window larger than 128 MiB", args: sourceCache("xz", xzHeader(31))},
		{name: "bomb in a frame with the largest window, zstd", args: sourceCache("zstd", zstdFrame(27, bomb, 256<<20)), window: window128},
		{name: "export, first string", want: "", args: sourceFile(wire(1, uint64(1<<63)))},
		{name: "export, file", want: "", args: sourceFile(wire(1, "nix-archive-1", "(", "type", "regular", "contents", uint64(1<<63)))},
		{name: "export, file of 2^63-1", want: "file of 9223372036854775807 bytes", args: sourceFile(wire(1, "nix-archive-1", "(", "type", "regular", "contents", 1<<63-1))},
		{name: "export, link", want: "", args: sourceFile(wire(1, "nix-archive-1", "(", "type", "symlink", "target", 1<<63-8))},
		{name: "export, path", want: "", args: sourceFile(wire(1, tinyNAR, 0x4558494e, uint64(1<<63)))},
		{name: "export, references", want: "", args: sourceFile(wire(1, tinyNAR, 0x4558494e, "/nix/store/00000000000000000000000000000000-x", uint64(1<<63)))},
		{name: "export, references that stop", want: "", args: sourceFile(wire(1, tinyNAR, 0x4558494e, "/nix/store/00000000000000000000000000000000-x", 1<<40))},
		{name: "nario 2, references", want: "", args: sourceFile(wire(0x324f4952414e, 1, "00000000000000000000000000000000-x", "", strings.Repeat("0", 64), uint64(1<<63)))},
		{name: "nario 2, size", want: "", args: sourceFile(wire(0x324f4952414e, 1, "00000000000000000000000000000000-x", "", strings.Repeat("0", 64), 0, 0, uint64(1<<63), 0, 0, "", tinyNAR))},
		{name: "narinfo, NarSize 2^63", want: "NarSize", args: sourceNarInfo("NarSize: 9223372036854775808")},
		{name: "narinfo, FileSize 2^62", want: "", args: sourceNarInfo("NarSize: 100\nFileSize: 4611686018427387904")},
		{name: "narinfo of 2 GiB", want: "more than 1048576 bytes", args: sourceNarInfo("huge")},
		{name: "registration, size and references 2^63", want: "read references", args: sourceRegistration("9223372036854775808\n\n9223372036854775808\n")},
		{name: "registration, references 2^62", want: "read references", args: sourceRegistration("100\n\n4611686018427387904\n")},
		{name: "NAR of 10,000 directories", want: "deeper than 1024 directories", args: sourceFile(wire(1, deepNAR(10_000)))},
		{name: "root of 10,000 directories", want: "deeper than", args: deepRoot},
		{name: "farm in /etc", want: "more than 327680 files and directories", args: sourceFarm(64, "etc")},
		{name: "farm in /run/profile", want: "more than 327680 files and directories", args: sourceFarm(64, "share", "--bare")},
	}
	many := testrun.Of(6, 16)
	for _, c := range []struct {
		name   string
		pieces int // of 16 MiB, more than allowed with the window
		window int64
	}{{"gzip", many, 0}, {"zstd", many, 8 << 20}, {"lz4", many, 4 << 20}, {"br", 6, 16 << 20}, {"xz", 6, 8 << 20}, {"bzip2", 6, 4 << 20}, {"lzip", 6, 8 << 20}} {
		// The NAR hash is always wrong here, but that shows only at the end.
		all = append(all, hostileSource{name: "bomb in a cache, " + c.name, window: c.window,
			args: func(t *testing.T) []string { return sourceCache(c.name, packedBomb(t, c.name, c.pieces))(t) }})
		if c.name != "br" {
			all = append(all, hostileSource{name: "bomb in an export, " + c.name, window: c.window, want: "EOF",
				args: func(t *testing.T) []string { return sourceFile(packedBomb(t, c.name, c.pieces))(t) }})
		}
	}
	return all
}

// wire encodes numbers and strings, and copies bytes.
func wire(words ...any) []byte {
	var b []byte
	for _, w := range words {
		switch w := w.(type) {
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(w))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, w)
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(w)))
			b = append(append(b, w...), make([]byte, -len(w)&7)...)
		case []byte:
			b = append(b, w...)
		default:
			panic(fmt.Sprintf("wire of %T", w))
		}
	}
	return b
}

var tinyNAR = wire("nix-archive-1", "(", "type", "regular", "contents", "", ")")

// bomb is the beginning of an endless NAR.
var bomb = wire("nix-archive-1", "(", "type", "regular", "contents", 1<<61)

func deepNAR(depth int) []byte {
	b := wire("nix-archive-1")
	for range depth {
		b = append(b, wire("(", "type", "directory", "entry", "(", "name", "d", "node")...)
	}
	b = append(b, wire("(", "type", "directory", ")")...)
	for range depth {
		b = append(b, wire(")", ")")...)
	}
	return b
}

const hostilePath profile.Path = "/nix/store/00000000000000000000000000000001-hostile"

// sourceFile returns flags for a source in a file.
func sourceFile(content []byte) func(*testing.T) []string {
	return func(t *testing.T) []string { return fromFlags(scratch(t, "file", content)) }
}

func scratch(t *testing.T, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// sourceCache returns flags for a cache with one object that claims to be enormous.
func sourceCache(compression string, packed []byte) func(*testing.T) []string {
	return func(t *testing.T) []string {
		dir := filepath.Dir(scratch(t, "nar", packed))
		info := &profile.Info{Path: hostilePath, NarHash: profile.Hash{1}, NarSize: 1 << 59}
		text := storetest.NarInfo(info, "nar", compression)
		if err := os.WriteFile(filepath.Join(dir, hostilePath.Digest()+".narinfo"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return fromFlags(dir, "--profile", string(hostilePath))
	}
}

// sourceNarInfo returns flags for a cache with a narinfo of wrong sizes, or a huge one.
func sourceNarInfo(sizes string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		text := fmt.Sprintf("StorePath: %s\nURL: nar\nCompression: none\nNarHash: %s\nReferences: \n%s\n", hostilePath, profile.Hash{1}, sizes)
		name := scratch(t, hostilePath.Digest()+".narinfo", []byte(text))
		if sizes == "huge" {
			if err := os.Truncate(name, 2<<30); err != nil {
				t.Fatal(err)
			}
		}
		return fromFlags(filepath.Dir(name), "--profile", string(hostilePath))
	}
}

func sourceRegistration(rest string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		s := storetest.Tiny(t)
		text := fmt.Sprintf("%s\n%s\n%s", s.Root, profile.Hash{1}, rest)
		return fromFlags(s.WriteRoot(t), "--references", scratch(t, "registration", []byte(text)), "--profile", string(s.Root))
	}
}

// packedBomb compresses an endless NAR. Outside of the tests of caches it is in an export stream.
func packedBomb(t *testing.T, compression string, pieces int) []byte {
	t.Helper()
	head := bomb
	if !strings.Contains(t.Name(), "cache") {
		head = wire(1, bomb)
	}
	zeros := make([]byte, 16<<20)
	if compression == "br" { // br streams cannot be concatenated
		return storetest.Compress(t, compression, append(head, bytes.Repeat(zeros, pieces)...))[0]
	}
	packed := storetest.Compress(t, compression, head, zeros)
	return append(packed[0], bytes.Repeat(packed[1], pieces)...)
}

// zstdFrame returns a frame with a window of 1<<log bytes: head, and then zeros.
func zstdFrame(log int, head []byte, zeros int64) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, byte(log-10) << 3}
	block := func(kind, size int) {
		b = append(b, byte(size<<3|kind<<1), byte(size>>5), byte(size>>13))
	}
	block(0, len(head))
	b = append(b, head...)
	for ; zeros > 0; zeros -= 128 << 10 {
		block(1, 128<<10)
		b = append(b, 0)
	}
	return append(b, 1, 0, 0) // the last block
}

// xzHeader returns the start of an xz stream with a dictionary size as LZMA2 encodes it.
func xzHeader(dictionary byte) []byte {
	b := []byte("\xfd7zXZ\x00\x00\x01")
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[6:8]))
	block := []byte{2, 0, 0x21, 1, dictionary, 0, 0, 0}
	b = append(b, block...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(block))
	return append(b, make([]byte, 64)...)
}

// deepRoot makes a store with an object of too many nested directories.
func deepRoot(t *testing.T) []string {
	root := t.TempDir()
	object := filepath.Join(root, string(hostilePath))
	if err := os.MkdirAll(object, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("rm", "-rf", object).Run() })
	fd, err := unix.Open(object, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; i < testrun.Of(rootfs.MaxDepth+100, 10_000) && err == nil; i++ {
		next := -1
		if err = unix.Mkdirat(fd, "d", 0o755); err == nil {
			next, err = unix.Openat(fd, "d", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		_ = unix.Close(fd)
		fd = next
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	return fromFlags(root, "--profile", string(hostilePath))
}

// sourceFarm returns flags for a profile of objects with two links each to the next.
func sourceFarm(objects int, dir string, more ...string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		s := storetest.New("farm")
		s.Add(t, "0", "", "d .", "f 0444 file x")
		for i := 1; i < objects; i++ {
			next := fmt.Sprint(i - 1)
			s.Add(t, fmt.Sprint(i), next, "d .", "l a "+string(storetest.PathOf(next)), "l b "+string(storetest.PathOf(next)))
		}
		first := fmt.Sprint(objects - 1)
		s.Add(t, "farm", first, "d .", "l "+dir+" "+string(storetest.PathOf(first)))
		return fromFlags(s.WriteExport(t), append(more, "--profile", string(s.Root))...)
	}
}
