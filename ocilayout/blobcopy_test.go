package ocilayout

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSendAll checks copies by the kernel, also between file systems, and copies that the kernel refuses.
func TestSendAll(t *testing.T) {
	content := []byte(text(3, sendStep+12345))
	other := "/dev/shm" // usually another file system
	if strings.HasPrefix(os.TempDir(), other) {
		other = "/var/tmp"
	}
	if _, err := os.Stat(other); err != nil {
		other = t.TempDir()
	}
	dir, err := os.MkdirTemp(other, "export-profile-test-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		flag int
	}{
		{"by the kernel", 0},
		{"not by the kernel", os.O_APPEND}, // sendfile refuses this
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := os.Open(from)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			to := filepath.Join(t.TempDir(), "to")
			w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|tt.flag, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if n, err := sendAll(t.Context(), w, r); n != int64(len(content)) || err != nil {
				t.Errorf("sendAll = %d, %v; want %d, <nil>", n, err, len(content))
			}
			if got, err := os.ReadFile(to); !bytes.Equal(got, content) || err != nil {
				t.Errorf("copied %d bytes that differ, %v", len(got), err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := sendAll(ctx, w, r); err != context.Canceled {
				t.Errorf("sendAll when cancelled = %v; want %v", err, context.Canceled)
			}
		})
	}
}
