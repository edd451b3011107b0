package storetest

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// WriteNario2 writes an export stream of Determinate Nix's second kind.
func (s *Sample) WriteNario2(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
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
		number(1700000000) // when it was registered
		number(int(info.NarSize))
		number(0) // not built by its sender
		number(len(info.Signatures))
		for _, signature := range info.Signatures {
			str(signature)
		}
		str(info.CA)
		b.Write(s.NAR(t, info.Path))
	}
	number(0)
	return writeFile(t, s.Name+".nario2", b.Bytes())
}
