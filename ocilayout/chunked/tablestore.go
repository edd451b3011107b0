package chunked

import (
	"crypto/sha256"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// spillBytes is how much of a table stays in memory. A layer of 60,000 files has tables of this size.
const spillBytes = 4 << 20

// tableStore keeps a compressed table: in memory, or in a file if it is large and there is a place for files.
type tableStore struct {
	spill  func() (*os.File, error) // makes a temporary file; may be nil
	hash   hash.Hash
	n      int64 // bytes of the table
	memory []byte
	file   *os.File // has what came before memory
}

func newTableStore(spill func() (*os.File, error)) tableStore {
	return tableStore{spill: spill, hash: sha256.New()}
}

// Write appends to the table.
func (s *tableStore) Write(b []byte) (int, error) {
	s.hash.Write(b)
	s.n += int64(len(b))
	s.memory = append(s.memory, b...)
	if len(s.memory) < spillBytes || s.spill == nil {
		return len(b), nil
	}
	if s.file == nil {
		f, err := s.spill()
		if err != nil {
			return 0, err
		}
		s.file = f
	}
	_, err := s.file.Write(s.memory)
	s.memory = s.memory[:0]
	return len(b), err
}

func (s *tableStore) digest() digest.Digest { return digest.NewDigest(digest.SHA256, s.hash) }

// copyTo writes the table to w.
func (s *tableStore) copyTo(w io.Writer) error {
	if s.file != nil {
		if _, err := io.Copy(w, io.NewSectionReader(s.file, 0, s.n-int64(len(s.memory)))); err != nil {
			return err
		}
	}
	_, err := w.Write(s.memory)
	return err
}

// close gives memory and the file back.
func (s *tableStore) close() {
	if s.file != nil {
		_ = s.file.Close() // it is not needed any more
	}
	s.memory, s.file = nil, nil
}
