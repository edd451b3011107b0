// Package chunked writes and reads what makes a Zstandard layer a zstd:chunked layer: its table of contents (TOC),
// its tar-split data and its annotations. With them a client fetches only those chunks of files that it lacks.
//
// The format is that of go.podman.io/storage/pkg/chunked, as podman, buildah and CRI-O read it.
//
// # Bytes of a blob
//
//	frames           the tar; each chunk of a file has a frame of its own, and what lies between files has another
//	skippable frame  the TOC: JSON, compressed with zstd
//	skippable frame  the tar-split data: lines of JSON, compressed with zstd
//	skippable frame  a footer of 64 bytes, see [Location.Footer]
//
// A reader that continues behind the first frame, and passes over skippable frames, reads the tar.
//
// # Trust
//
// The annotations are part of the manifest, and hold the digest of the compressed TOC. The TOC holds the digests
// of the compressed tar-split data and of each file and chunk. A client that fetches chunks does not read the tar.
// podman 5.4 refuses tables that describe another tar, since it compares the diffID. A client that does not
// would have other files than the tar has. [Check] compares all of them.
package chunked

// FormatVersion counts the changes of the bytes that this package writes: those of the cuts and of the tables.
// Cache keys contain it.
const FormatVersion = 1
