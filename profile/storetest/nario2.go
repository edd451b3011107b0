package storetest

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/export-profile/export-profile/profile/nar"
)

// WriteNario2 writes an export stream in Determinate Nix's format 2, and returns its name.
func (s *Sample) WriteNario2(t testing.TB) string {
	t.Helper()
	return writeStream(t, s.Name+".nario2", s.Nario2)
}

// Nario2 writes an export stream in format 2 without buffering it.
func (s *Sample) Nario2(w io.Writer) error {
	var b bytes.Buffer // the bytes before the next NAR
	number := func(n int) { b.Write(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	str := func(s string) {
		number(len(s))
		b.WriteString(s)
		b.Write(make([]byte, -len(s)&7))
	}
	b.WriteString("NARIO2\x00\x00")
	for _, info := range s.Infos {
		number(1)
		str(info.Path.Base())
		if info.Deriver == "" {
			str("")
		} else {
			str(info.Deriver.Base())
		}
		str(info.NarHash.Hex())
		number(len(info.References))
		for _, r := range info.References {
			str(r.Base())
		}
		number(1700000000) // registration time
		number(int(info.NarSize))
		number(0) // not built by its sender
		number(len(info.Signatures))
		for _, signature := range info.Signatures {
			str(signature)
		}
		str(info.CA)
		if _, err := b.WriteTo(w); err != nil {
			return err
		}
		if err := nar.Write(w, s.trees[info.Path], info.Path.Root()); err != nil {
			return err
		}
	}
	number(0)
	_, err := b.WriteTo(w)
	return err
}
