package verify

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Problem is something that is not as it has to be.
type Problem struct {
	Image digest.Digest `json:"image,omitempty"` // of the manifest; empty for what is in an index
	Layer int           `json:"layer,omitempty"` // from 1; 0 for index, manifest and config
	Blob  string        `json:"blob,omitempty"`  // a digest, or a file's name in a layout
	Path  string        `json:"path,omitempty"`  // in the layer
	What  string        `json:"what"`
}

// String is a line that says what is wrong and where.
// Whatever a blob says, there are no control characters in it.
func (p Problem) String() string {
	var b strings.Builder
	if p.Layer > 0 {
		fmt.Fprintf(&b, "layer %d: ", p.Layer)
	}
	if p.Blob != "" {
		fmt.Fprintf(&b, "%s: ", quoteOdd(p.Blob))
	}
	if p.Path != "" {
		fmt.Fprintf(&b, "%s: ", quote(p.Path))
	}
	return b.String() + p.What
}

// maxQuoted is how many bytes of a name are shown.
const maxQuoted = 400

// quote is a name of someone else's for people.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q…", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
}

// quoteOdd quotes what is not as plain as a digest.
func quoteOdd(s string) string {
	if q := quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

// findings are the problems of one blob. Of many, the first are kept and all are counted.
type findings struct {
	most  int
	list  []Problem
	count int
}

func (f *findings) add(p Problem) {
	if f.count++; len(f.list) < f.most {
		f.list = append(f.list, p)
	}
}

// addf adds what is wrong with a path in a layer, or without one, with the blob.
func (f *findings) addf(path, format string, args ...any) {
	if f.count++; len(f.list) < f.most {
		if len(path) > maxQuoted {
			path = path[:maxQuoted] + "…"
		}
		f.list = append(f.list, Problem{Path: path, What: fmt.Sprintf(format, args...)})
	}
}
