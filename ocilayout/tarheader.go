package ocilayout

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// appendHeader appends the header of an entry,
// after a PAX header if the entry does not fit into the fields.
func appendHeader(buf []byte, e rootfs.Entry) ([]byte, error) {
	if strings.HasPrefix(e.Path, ".wh.") || strings.Contains(e.Path, "/.wh.") {
		return buf, errors.New("a name that begins with .wh. would delete a file of another layer")
	}
	h := &header{name: e.Path, mode: int64(rootfs.UnixMode(e.Mode)), uid: int64(e.UID), gid: int64(e.GID)}
	switch {
	case e.IsDir():
		h.kind = '5'
		h.name += "/"
	case e.IsLink():
		h.kind, h.link, h.mode = '2', e.Target, 0o777
	default:
		h.kind, h.size = '0', e.Size
	}
	return h.appendLong(buf)
}

// appendLong appends a header, after a PAX header for those fields that are too small.
func (h *header) appendLong(buf []byte) ([]byte, error) {
	if h.uid < 0 || h.gid < 0 {
		return buf, fmt.Errorf("owner %d:%d is not representable", h.uid, h.gid)
	}

	var records []byte // sorted by key
	if h.gid > maxOctal7 {
		records = appendRecord(records, "gid", strconv.FormatInt(h.gid, 10))
		h.gid = 0
	}
	if len(h.link) > maxName {
		records = appendRecord(records, "linkpath", h.link)
		h.link = h.link[:maxName]
	}
	if prefix, name, ok := splitName(h.name); ok {
		h.prefix, h.name = prefix, name
	} else {
		records = appendRecord(records, "path", h.name)
		h.name = h.name[:maxName]
	}
	if h.size > maxOctal11 {
		records = appendRecord(records, "size", strconv.FormatInt(h.size, 10))
		h.size = 0
	}
	if h.uid > maxOctal7 {
		records = appendRecord(records, "uid", strconv.FormatInt(h.uid, 10))
		h.uid = 0
	}
	if len(records) > 0 {
		pax := header{kind: 'x', name: paxName, mode: 0o644, size: int64(len(records))}
		buf = pax.append(buf)
		buf = append(buf, records...)
		buf = append(buf, zeroBlocks[:-len(records)&(blockSize-1)]...)
	}
	return h.append(buf), nil
}

// splitName splits a long name at its last possible slash.
func splitName(name string) (prefix, rest string, ok bool) {
	if len(name) <= maxName {
		return "", name, true
	}
	end := min(len(name)-1, maxPrefix+1) // not at a directory's final slash
	i := strings.LastIndexByte(name[:end], '/')
	if i <= 0 || len(name)-i-1 > maxName {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// appendRecord appends a record of a PAX header. Its length counts its own digits.
func appendRecord(b []byte, key, value string) []byte {
	n := len(key) + len(value) + len(" =\n")
	size := n + len(strconv.Itoa(n))
	if size = n + len(strconv.Itoa(size)); n+len(strconv.Itoa(size)) != size {
		size = n + len(strconv.Itoa(size))
	}
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	b = append(b, value...)
	return append(b, '\n')
}

// header has the fields of a USTAR header.
type header struct {
	prefix, name, link   string
	kind                 byte
	mode, uid, gid, size int64
}

// append appends a header whose fields fit.
func (h *header) append(buf []byte) []byte {
	start := len(buf)
	buf = append(buf, zeroBlocks[:blockSize]...)
	b := buf[start:]
	copy(b[0:100], h.name)
	octal(b[100:108], h.mode)
	octal(b[108:116], h.uid)
	octal(b[116:124], h.gid)
	octal(b[124:136], h.size)
	octal(b[136:148], rootfs.ModTime.Unix())
	copy(b[148:156], "        ") // the checksum counts spaces in its own place
	b[156] = h.kind
	copy(b[157:257], h.link)
	copy(b[257:265], "ustar\x0000")
	octal(b[329:337], 0)
	octal(b[337:345], 0)
	copy(b[345:500], h.prefix)
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[148:155], sum)
	return buf
}

// octal fills a field with digits and a NUL.
func octal(field []byte, n int64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
	field[len(field)-1] = 0
}
