package chunked

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Annotations of a layer's descriptor. All three are there, or the layer is an ordinary one.
const (
	AnnotationTOCDigest        = "io.github.containers.zstd-chunked.manifest-checksum" // of the compressed TOC
	AnnotationTOC              = "io.github.containers.zstd-chunked.manifest-position" // OFFSET:LENGTH:UNCOMPRESSED:1
	AnnotationTarSplit         = "io.github.containers.zstd-chunked.tarsplit-position" // OFFSET:LENGTH:UNCOMPRESSED
	AnnotationPrefix           = "io.github.containers.zstd-chunked."                  // of all of them, and of one that older clients wrote
	tocType                    = 1                                                     // the only type of TOC
	footerMagic                = "GNUlInUx"
	skippableMagic      uint32 = 0x184D2A50
	skippableHead              = 8 // bytes of a skippable frame before its content
)

// Span is where compressed data lies in a blob.
type Span struct {
	Offset       int64
	Length       int64
	Uncompressed int64
}

// Location says where the tables of a blob lie, and what the TOC's digest is. The zero value means that there are none.
type Location struct {
	Digest   digest.Digest // of the compressed TOC
	TOC      Span
	TarSplit Span
}

// Annotations returns the annotations of the layer's descriptor. They are nil if there are no tables.
func (l Location) Annotations() map[string]string {
	if l == (Location{}) {
		return nil
	}
	return map[string]string{
		AnnotationTOCDigest: l.Digest.String(),
		AnnotationTOC:       fmt.Sprintf("%d:%d:%d:%d", l.TOC.Offset, l.TOC.Length, l.TOC.Uncompressed, tocType),
		AnnotationTarSplit:  fmt.Sprintf("%d:%d:%d", l.TarSplit.Offset, l.TarSplit.Length, l.TarSplit.Uncompressed),
	}
}

// Footer returns the content of the last skippable frame: the numbers of the annotations, as 64 bits each.
func (l Location) Footer() []byte {
	var b []byte
	for _, n := range []int64{l.TOC.Offset, l.TOC.Length, l.TOC.Uncompressed, tocType, l.TarSplit.Offset, l.TarSplit.Length, l.TarSplit.Uncompressed} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return append(b, footerMagic...)
}

// ParseAnnotations reads the annotations of a layer's descriptor whose blob has size bytes.
// It returns the zero value if none of them is about zstd:chunked.
// It is an error if one is missing or malformed, if a table leaves the blob, or if the tables overlap.
func ParseAnnotations(annotations map[string]string, size int64) (Location, error) {
	var l Location
	some := false
	for key := range annotations {
		some = some || strings.HasPrefix(key, AnnotationPrefix)
	}
	if !some {
		return l, nil
	}
	var err error
	if l.Digest, err = parseDigest(annotations[AnnotationTOCDigest]); err != nil {
		return Location{}, fmt.Errorf("annotation %q: %w", AnnotationTOCDigest, err)
	}
	if l.TOC, err = parseSpan(annotations[AnnotationTOC], ":"+strconv.Itoa(tocType), size, MaxTable); err != nil {
		return Location{}, fmt.Errorf("annotation %q: %w", AnnotationTOC, err)
	}
	if l.TarSplit, err = parseSpan(annotations[AnnotationTarSplit], "", size, maxTarSplit); err != nil {
		return Location{}, fmt.Errorf("annotation %q: %w", AnnotationTarSplit, err)
	}
	if l.TarSplit.Offset < l.TOC.Offset+l.TOC.Length && l.TOC.Offset < l.TarSplit.Offset+l.TarSplit.Length {
		return Location{}, errors.New("the TOC and the tar-split data overlap")
	}
	return l, nil
}

// MaxTable limits a table, compressed, and the TOC also uncompressed: as much as podman reads of one.
// maxTarSplit limits the uncompressed tar-split data, which is read as a stream.
const (
	MaxTable    = 150 << 20
	maxTarSplit = 4 << 30
)

func parseSpan(s, suffix string, size, most int64) (Span, error) {
	numbers, ok := strings.CutSuffix(s, suffix)
	words := strings.Split(numbers, ":")
	if !ok || len(words) != 3 {
		return Span{}, fmt.Errorf("%q is no position", s)
	}
	var n [3]int64
	for i, w := range words {
		v, err := strconv.ParseInt(w, 10, 64)
		if err != nil || v < 0 || strconv.FormatInt(v, 10) != w {
			return Span{}, fmt.Errorf("%q is no position", s)
		}
		n[i] = v
	}
	span := Span{n[0], n[1], n[2]}
	switch {
	case span.Length == 0 || span.Length > MaxTable || span.Uncompressed > most:
		return Span{}, fmt.Errorf("%d bytes that become %d are too few or too many", span.Length, span.Uncompressed)
	case span.Offset > size || span.Length > size-span.Offset:
		return Span{}, fmt.Errorf("bytes %d to %d are not in the blob of %d bytes", span.Offset, span.Offset+span.Length, size)
	}
	return span, nil
}
