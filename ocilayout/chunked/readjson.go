package chunked

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// jsonReader reads the JSON of a table from its beginning to its end. It knows what must come next, so it needs no
// recursion, and it is stricter than package encoding/json: a field occurs once and is spelled exactly,
// numbers are integers that are not negative, and strings are valid UTF-8.
type jsonReader struct {
	r   *bufio.Reader
	buf []byte // of the last string
	raw []byte // of the last string that has escapes
}

// maxString limits the bytes of a string. The longest strings are the headers of a tar in base 64;
// package archive/tar reads at most three extended headers of 1 MiB before an entry.
const maxString = 6 << 20

func newJSONReader(r io.Reader) *jsonReader { return &jsonReader{r: bufio.NewReaderSize(r, 64<<10)} }

// next passes over white space and returns the byte behind it, which stays unread.
func (j *jsonReader) next() (byte, error) {
	for {
		c, err := j.r.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, j.r.UnreadByte()
		}
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// expect reads the byte c, after any white space.
func (j *jsonReader) expect(c byte) error {
	got, err := j.next()
	if err == nil && got != c {
		err = fmt.Errorf("found %q in the JSON, want %q", got, c)
	}
	if err != nil {
		return err
	}
	_, err = j.r.ReadByte()
	return err
}

// end checks that only white space follows.
func (j *jsonReader) end() error {
	switch c, err := j.next(); {
	case err == nil:
		return fmt.Errorf("found %q behind the end of the JSON", c)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	default:
		return err
	}
}

// more reads the comma or the bracket behind an item, and reports whether another item follows.
// First says that no item was read yet.
func (j *jsonReader) more(first bool, closing byte) (bool, error) {
	c, err := j.next()
	if err != nil {
		return false, err
	}
	switch {
	case c == closing:
		_, err = j.r.ReadByte()
		return false, err
	case first:
		return true, nil
	case c != ',':
		return false, fmt.Errorf("found %q in the JSON, want ',' or %q", c, closing)
	}
	_, err = j.r.ReadByte()
	return true, err
}

// bytes reads a string. The result is valid until the next call.
func (j *jsonReader) bytes() ([]byte, error) {
	if err := j.expect('"'); err != nil {
		return nil, err
	}
	j.buf = j.buf[:0]
	escaped := false
	for {
		c, err := j.r.ReadByte()
		if err != nil {
			return nil, unexpected(err)
		}
		switch {
		case c == '"':
			if !utf8.Valid(j.buf) {
				return nil, errors.New("a string is not valid UTF-8")
			}
			if !escaped {
				return j.buf, nil
			}
			return j.unescape()
		case c < ' ':
			return nil, fmt.Errorf("found %q in a string of the JSON", c)
		case len(j.buf) == maxString:
			return nil, fmt.Errorf("a string has more than %d bytes", maxString)
		}
		j.buf = append(j.buf, c)
		if c == '\\' {
			escaped = true
			if c, err = j.r.ReadByte(); err != nil {
				return nil, unexpected(err)
			}
			j.buf = append(j.buf, c)
		}
	}
}

func (j *jsonReader) unescape() ([]byte, error) {
	j.raw = append(append(append(j.raw[:0], '"'), j.buf...), '"')
	var s string
	if err := json.Unmarshal(j.raw, &s); err != nil {
		return nil, err
	}
	j.buf = append(j.buf[:0], s...)
	return j.buf, nil
}

func (j *jsonReader) text() (string, error) {
	b, err := j.bytes()
	return string(b), err
}

// null reads a null, if one is next.
func (j *jsonReader) null() (bool, error) {
	if c, err := j.next(); err != nil || c != 'n' {
		return false, err
	}
	var word [4]byte
	if _, err := io.ReadFull(j.r, word[:]); err != nil || string(word[:]) != "null" {
		return false, errors.New("found 'n' in the JSON, which begins no value")
	}
	return true, nil
}

// base64 reads a string in base 64, or null. The result is valid until the next call.
func (j *jsonReader) base64() ([]byte, error) {
	if null, err := j.null(); err != nil || null {
		return nil, err
	}
	b, err := j.bytes()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(b, func(c byte) bool { return c == '\r' || c == '\n' }) { // the decoder passes over them
		return nil, errors.New("it has line ends in base 64")
	}
	n, err := strictBase64.Decode(b, b)
	return b[:n], err
}

var strictBase64 = base64.StdEncoding.Strict()

// number reads an integer that is not negative.
func (j *jsonReader) number() (int64, error) {
	if _, err := j.next(); err != nil {
		return 0, err
	}
	digits := make([]byte, 0, 20)
	for {
		c, err := j.r.ReadByte()
		if err != nil {
			return 0, unexpected(err) // a number is never the last thing
		}
		if c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' && (c < '0' || c > '9') || len(digits) == cap(digits) {
			if err := j.r.UnreadByte(); err != nil {
				return 0, err
			}
			break
		}
		digits = append(digits, c)
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(digits) {
		if len(digits) == 0 {
			c, _ := j.next()
			return 0, fmt.Errorf("found %q in the JSON, want a number", c)
		}
		return 0, fmt.Errorf("%q is not an integer of 64 bits", digits)
	}
	if n < 0 {
		return 0, fmt.Errorf("%d is negative", n)
	}
	return n, nil
}

// object reads an object. It calls field for each name, which reads the value. Names are the allowed ones.
func (j *jsonReader) object(names []string, field func(name string) error) error {
	if err := j.expect('{'); err != nil {
		return err
	}
	var seen uint64
	for first := true; ; first = false {
		more, err := j.more(first, '}')
		if err != nil || !more {
			return err
		}
		if err := j.field(names, &seen, field); err != nil {
			return err
		}
	}
}

// field reads a name and its value. Seen has a bit for each name that was read.
func (j *jsonReader) field(names []string, seen *uint64, field func(name string) error) error {
	key, err := j.bytes()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(names, func(name string) bool { return name == string(key) })
	switch {
	case i < 0:
		return fmt.Errorf("unknown field %s", quote(string(key)))
	case *seen>>i&1 == 1:
		return fmt.Errorf("the field %q occurs twice", names[i])
	}
	*seen |= 1 << i
	if err := j.expect(':'); err != nil {
		return err
	}
	if err := field(names[i]); err != nil {
		return fmt.Errorf("field %q: %w", names[i], err)
	}
	return nil
}

// maxQuoted limits the bytes of a name in an error.
const maxQuoted = 400

// quote quotes a name that comes from a table, and shortens it.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q…", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
}
