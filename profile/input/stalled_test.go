package input

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile/decompress"
)

// TestStalledPipe checks that Abandon does not wait for a pipe that sends nothing more, though workers read it ahead.
func TestStalledPipe(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 2<<20)
	for i, x := 0, uint32(1); i < len(part); i++ { // what zstd cannot make smaller
		x = x*1664525 + 1013904223
		part[i] = byte(x >> 24)
	}
	frame := z.EncodeAll(part, nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	go func() {
		for range 3 {
			_, _ = w.Write(frame)
		}
		_, _ = w.Write(frame[:len(frame)/2])
	}()
	in, err := Open(t.Context(), r, Options{SpoolDir: t.TempDir(), Workers: decompress.NewWorkers(2)})
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		if _, err := io.CopyN(io.Discard, in, int64(len(part))/10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // let the workers read on
	}
	done := make(chan struct{})
	go func() { in.Abandon(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Abandon waits for the pipe")
	}
}
