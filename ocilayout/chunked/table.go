package chunked

import (
	"bytes"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// table is a growing table, compressed as it grows: 60 to 90 bytes of memory for a file, in each of the two tables.
type table struct {
	encoder    *zstd.Encoder
	compressed bytes.Buffer
	size       int64 // before compression
}

// encoders are idle encoders of tables. Each has some MiB of memory.
var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(1<<20),
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are right
	}
	return e
}}

func newTable() *table {
	t := &table{encoder: encoders.Get().(*zstd.Encoder)}
	t.encoder.Reset(&t.compressed)
	return t
}

func (t *table) write(b []byte) error {
	t.size += int64(len(b))
	_, err := t.encoder.Write(b)
	return err
}

// close ends the table. It may be called again.
func (t *table) close() error {
	if t.encoder == nil {
		return nil
	}
	err := t.encoder.Close()
	t.encoder.Reset(nil)
	encoders.Put(t.encoder)
	t.encoder = nil
	return err
}

func (t *table) digest() digest.Digest { return digest.FromBytes(t.compressed.Bytes()) }

// appendString appends a string as JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string has no errors
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendEntry appends an entry of the TOC, as json.Marshal would.
func appendEntry(b []byte, e *Entry) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, e.Type...)
	b = append(b, `","name":`...)
	b = appendString(b, e.Name)
	b = appendText(b, `,"linkName":`, e.LinkName)
	b = appendNumber(b, `,"mode":`, e.Mode)
	b = appendNumber(b, `,"size":`, e.Size)
	b = appendNumber(b, `,"uid":`, int64(e.UID))
	b = appendNumber(b, `,"gid":`, int64(e.GID))
	b = appendText(b, `,"modtime":`, e.ModTime)
	b = appendText(b, `,"accesstime":`, e.AccessTime)
	b = appendText(b, `,"changetime":`, e.ChangeTime)
	b = appendNumber(b, `,"devMajor":`, e.DevMajor)
	b = appendNumber(b, `,"devMinor":`, e.DevMinor)
	if len(e.Xattrs) > 0 {
		xattrs, _ := json.Marshal(e.Xattrs) // a map of strings has no errors
		b = append(append(b, `,"xattrs":`...), xattrs...)
	}
	b = appendText(b, `,"digest":`, e.Digest)
	b = appendNumber(b, `,"offset":`, e.Offset)
	b = appendNumber(b, `,"endOffset":`, e.EndOffset)
	b = appendNumber(b, `,"chunkSize":`, e.ChunkSize)
	b = appendNumber(b, `,"chunkOffset":`, e.ChunkOffset)
	b = appendText(b, `,"chunkDigest":`, e.ChunkDigest)
	b = appendText(b, `,"chunkType":`, e.ChunkType)
	return append(b, '}')
}

func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, key...), value)
}

func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, key...), n, 10)
}
