package binarycache

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/export-profile/export-profile/profile/decompress"
)

// encodings maps HTTP's names of content encodings to those of package decompress.
var encodings = map[string]string{"gzip": "gzip", "x-gzip": "gzip", "br": "br", "zstd": "zstd", "xz": "xz", "bzip2": "bzip2", "lzip": "lzip"}

// encoded reports whether the server sends the body in a content encoding.
// Buckets do this regardless of Accept-Encoding for files that were uploaded compressed.
func encoded(header http.Header) bool {
	e := header.Values("Content-Encoding")
	return len(e) > 0 && !(len(e) == 1 && (e[0] == "" || e[0] == "identity"))
}

// decoded undoes the Content-Encoding. Closing the result closes body.
func decoded(header http.Header, body io.ReadCloser) (io.ReadCloser, error) {
	if !encoded(header) {
		return body, nil
	}
	e := strings.Join(header.Values("Content-Encoding"), ", ")
	name, ok := encodings[strings.ToLower(e)]
	if !ok {
		return nil, final(fmt.Errorf("content encoding %q: %w", e, errors.ErrUnsupported))
	}
	z, err := decompress.NewReader(name, body)
	if err != nil {
		return nil, err
	}
	return decodedBody{z, body}, nil
}

type decodedBody struct {
	io.ReadCloser
	body io.Closer
}

func (d decodedBody) Close() error { return errors.Join(d.ReadCloser.Close(), d.body.Close()) }
