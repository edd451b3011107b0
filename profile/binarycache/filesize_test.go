package binarycache

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestFileHashAndSize checks that a wrong or odd FileHash or FileSize never matters:
// a proxy may compress a NAR anew and serve its narinfo unchanged.
func TestFileHashAndSize(t *testing.T) {
	for name, change := range map[string]func(n *NarInfo) string{
		"right":                func(n *NarInfo) string { return n.String() },
		"another hash":         func(n *NarInfo) string { n.FileHash[3] ^= 1; return n.String() },
		"a larger size":        func(n *NarInfo) string { n.FileSize++; return n.String() },
		"a smaller size":       func(n *NarInfo) string { n.FileSize--; return n.String() },
		"one byte":             func(n *NarInfo) string { n.FileSize = 1; return n.String() },
		"a huge size":          func(n *NarInfo) string { n.FileSize = 1 << 62; return n.String() },
		"neither":              func(n *NarInfo) string { return without(n) },
		"a size of zero":       func(n *NarInfo) string { return without(n) + "FileSize: 0\n" },
		"a negative size":      func(n *NarInfo) string { return without(n) + "FileSize: -1\n" },
		"a size in words":      func(n *NarInfo) string { return without(n) + "FileSize: many\n" },
		"another kind of hash": func(n *NarInfo) string { return without(n) + "FileHash: md5:d41d8cd98f00b204e9800998ecf8427e\n" },
		"an empty hash":        func(n *NarInfo) string { return without(n) + "FileHash: \n" },
		"both twice":           func(n *NarInfo) string { return n.String() + "FileSize: 5\nFileHash: x\n" },
	} {
		f := make(files)
		n := f.object(t, smallPath, "gzip", text)
		packed := f[n.URL]
		f[smallPath.Digest()+".narinfo"] = []byte(change(n))
		raw := func(header string, frame func(b []byte) string) http.Handler {
			return &faulty{Handler: f, name: n.URL, times: 100, then: func(w http.ResponseWriter, _ *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprintf(rw, "%s\r\n\r\n%s", header, frame(packed))
				_ = rw.Flush()
			}}
		}
		for how, at := range map[string]string{
			"a directory":                       f.dir(t),
			"a server that names the length":    serve(t, f),
			"a server that sends chunks":        serve(t, raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", func(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(b), b) })),
			"a server that hangs up at the end": serve(t, raw("HTTP/1.0 200 OK", func(b []byte) string { return string(b) })),
		} {
			if b, err := readFile(t.Context(), open(t, at, quickOptions()), smallPath); err != nil || !bytes.Equal(b, text) {
				t.Errorf("%s from %s: Files = %q, %v; want the whole content", name, how, b, err)
			}
		}
	}
}

// without formats a narinfo without its FileHash and FileSize.
func without(n *NarInfo) string {
	var b strings.Builder
	for line := range strings.Lines(n.String()) {
		if !strings.HasPrefix(line, "File") {
			b.WriteString(line)
		}
	}
	return b.String()
}
