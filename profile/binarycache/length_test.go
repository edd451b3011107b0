package binarycache

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestContentLength checks that a server gains nothing by a length that its answer does not have:
// each file is complete, or an error, soon and without memory for the length.
func TestContentLength(t *testing.T) {
	for _, test := range []struct {
		name   string
		header string // %d is the length of the body
		more   string // after the body
		whole  bool   // the file is read
	}{
		{"right", "Content-Length: %d", "", true},
		{"2^62", "Content-Length: 4611686018427387904", "", false},
		{"2^63-1", "Content-Length: 9223372036854775807", "", false},
		{"2^63", "Content-Length: 9223372036854775808", "", false},
		{"negative", "Content-Length: -1", "", false},
		{"zero", "Content-Length: 0", "", false},
		{"not a number", "Content-Length: many", "", false},
		{"twice", "Content-Length: %[1]d\r\nContent-Length: %[1]d", "", true},
		{"twice, and different", "Content-Length: %d\r\nContent-Length: 5", "", false},
		{"with chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked", "", false},
		{"none, and bytes behind it", "X: y", "behind", false},
		{"chunk of 2^62", "Transfer-Encoding: chunked\r\n\r\n4000000000000000", "", false},
		{"a range of 2^62", "Content-Range: bytes 0-4611686018427387903/4611686018427387904\r\nContent-Length: %d", "", true},
	} {
		f := make(files)
		n := f.object(t, smallPath, "none", text)
		narinfo := smallPath.Digest() + ".narinfo"
		f[narinfo] = []byte(n.String())
		for _, name := range []string{cacheInfoName, narinfo, n.URL} {
			raw := func(w http.ResponseWriter, _ *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				header := test.header
				if strings.Contains(header, "%") {
					header = fmt.Sprintf(header, len(f[name]))
				}
				fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\n%s\r\n\r\n%s%s", header, f[name], test.more)
				_ = rw.Flush()
			}
			at := serve(t, &faulty{Handler: f, name: name, times: 1 << 20, then: raw})
			begin := time.Now()
			s, err := Open(t.Context(), at, quickOptions())
			var b []byte
			if err == nil {
				b, err = readFile(t.Context(), s, smallPath)
				s.Close()
			}
			lenient := test.more != "" && name != n.URL // text files may have more lines
			if err == nil && !bytes.Equal(b, text) || (err == nil) != test.whole && !lenient {
				t.Errorf("%s, length %s: Files = %d bytes, %v; want the file: %v", name, test.name, len(b), err, test.whole)
			}
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("%s, length %s: took %v", name, test.name, took)
			}
		}
	}
}
