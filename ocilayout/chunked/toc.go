package chunked

import "github.com/opencontainers/go-digest"

// Types of entries.
const (
	TypeFile     = "reg"
	TypeChunk    = "chunk" // a further chunk of the file before it
	TypeDir      = "dir"
	TypeSymlink  = "symlink"
	TypeHardlink = "hardlink"
	TypeChar     = "char"
	TypeBlock    = "block"
	TypeFifo     = "fifo"
)

// TOC is the table of contents of a layer. Its entries have the order of the tar.
type TOC struct {
	Version        int           `json:"version"` // always 1
	Entries        []Entry       `json:"entries"`
	TarSplitDigest digest.Digest `json:"tarSplitDigest,omitempty"` // of the compressed tar-split data
}

// Entry is an entry of the tar, or a further chunk of one.
//
// A file that is not empty has a digest, and lies in the blob from Offset to EndOffset.
// If it has several chunks, its own entry describes the first one, and an entry of TypeChunk follows for each of the others.
// Such an entry has only a type, a name, an offset and the fields of chunks.
type Entry struct {
	Type        string            `json:"type"`
	Name        string            `json:"name"` // as in the tar
	LinkName    string            `json:"linkName,omitempty"`
	Mode        int64             `json:"mode,omitempty"`
	Size        int64             `json:"size,omitempty"`
	UID         int               `json:"uid,omitempty"`
	GID         int               `json:"gid,omitempty"`
	ModTime     string            `json:"modtime,omitempty"` // RFC 3339
	AccessTime  string            `json:"accesstime,omitempty"`
	ChangeTime  string            `json:"changetime,omitempty"`
	DevMajor    int64             `json:"devMajor,omitempty"`
	DevMinor    int64             `json:"devMinor,omitempty"`
	Xattrs      map[string]string `json:"xattrs,omitempty"` // values in base 64
	Digest      string            `json:"digest,omitempty"` // of the file
	Offset      int64             `json:"offset,omitempty"`
	EndOffset   int64             `json:"endOffset,omitempty"`
	ChunkSize   int64             `json:"chunkSize,omitempty"` // 0 means the rest of the file
	ChunkOffset int64             `json:"chunkOffset,omitempty"`
	ChunkDigest string            `json:"chunkDigest,omitempty"`
	ChunkType   string            `json:"chunkType,omitempty"` // "", or "zeros" for zeros that the blob need not have
}
