package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// shape describes a JSON value. It can express the specification's JSON schema,
// and some rules that the specification has only in prose.
type shape struct {
	kind     kind
	nullable bool                 // null is allowed, too
	fields   map[string]shape     // of an object; the specification allows unknown fields
	required []string             // fields that an object must have
	values   *shape               // of an object with arbitrary names
	key      func(string) error   // checks the names of such an object
	items    *shape               // of an array
	minItems int                  // of an array
	maxItems int                  // of an array or object; 0 means defaultMaxItems
	check    func(s string) error // checks a string
	integer  func(n int64) error  // checks a number, which must be an integer
}

type kind byte

const (
	object kind = iota + 1
	array
	text
	number
	boolean
)

var kindNames = map[kind]string{object: "an object", array: "an array", text: "a string", number: "an integer", boolean: "true or false"}

// Limits of a document. They keep its decoded form from being much larger than the document.
const (
	defaultMaxItems = 1 << 16
	maxNesting      = 16
)

// checkShape reports the problems of a document. It reads the document once and remembers little.
// Decode reports whether the document can be decoded in spite of its problems.
func checkShape(doc []byte, s shape, report func(where, what string)) (decode bool) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	c := shapeChecker{decoder: d, report: report, decode: true}
	err := c.value("", s, 0)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return c.decode
		}
		err = errors.New("something follows the document")
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	report("", fmt.Sprintf("not JSON: %v", err))
	return false
}

type shapeChecker struct {
	decoder *json.Decoder
	report  func(where, what string)
	decode  bool
}

// wrong reports a problem that makes decoding fail.
func (c *shapeChecker) wrong(where, format string, args ...any) {
	c.decode = false
	c.report(where, fmt.Sprintf(format, args...))
}

func (c *shapeChecker) value(where string, s shape, depth int) error {
	t, err := c.decoder.Token()
	if err != nil {
		return err
	}
	if depth > maxNesting {
		c.decode = false
		return errors.New("nested too deeply")
	}
	got := kind(0)
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return c.object(where, s, depth)
		}
		return c.array(where, s, depth)
	case nil:
		if s.kind != 0 && !s.nullable {
			c.report(where, "is null, want "+kindNames[s.kind])
		}
		return nil
	case string:
		if got = text; s.kind == text {
			c.text(where, v, s.check)
		}
	case json.Number:
		if got = number; s.kind == number {
			n, err := v.Int64()
			switch {
			case err != nil:
				c.wrong(where, "%s is not an integer of 64 bits", quote(v.String()))
			case s.integer != nil:
				if err := s.integer(n); err != nil {
					c.report(where, err.Error())
				}
			}
		}
	case bool:
		got = boolean
	}
	if s.kind != 0 && got != s.kind {
		c.wrong(where, "is %s, want %s", kindNames[got], kindNames[s.kind])
	}
	return nil
}

// text checks a string. A NUL is always wrong, because it ends the string for programs that run an image.
func (c *shapeChecker) text(where, s string, check func(string) error) {
	if strings.IndexByte(s, 0) >= 0 {
		c.report(where, "has a NUL")
	} else if check != nil {
		if err := check(s); err != nil {
			c.report(where, err.Error())
		}
	}
}

// object checks the rest of an object whose brace was read.
func (c *shapeChecker) object(where string, s shape, depth int) error {
	if s.kind != 0 && s.kind != object {
		c.wrong(where, "is an object, want %s", kindNames[s.kind])
		s = shape{}
	}
	seen := make(map[string]bool)
	for c.decoder.More() {
		t, err := c.decoder.Token()
		if err != nil {
			return err
		}
		name := t.(string) // the decoder accepts no other token here
		at := join(where, name)
		if len(seen) == s.limit() {
			c.wrong(where, "has more than %d names", s.limit())
			return errors.New("too large")
		}
		if seen[name] {
			c.wrong(at, "occurs twice")
		}
		seen[name] = true
		inner, known := s.fields[name]
		if s.values != nil {
			inner = *s.values
			c.text(at, name, s.key)
		} else if !known {
			// Go's decoder ignores case, other decoders do not.
			for field := range s.fields {
				if strings.EqualFold(field, name) {
					c.wrong(at, "must be spelled %q", field)
				}
			}
		}
		if err := c.value(at, inner, depth+1); err != nil {
			return err
		}
	}
	for _, name := range s.required {
		if !seen[name] {
			c.report(join(where, name), "is missing")
		}
	}
	_, err := c.decoder.Token()
	return err
}

// array checks the rest of an array whose bracket was read.
func (c *shapeChecker) array(where string, s shape, depth int) error {
	if s.kind != 0 && s.kind != array {
		c.wrong(where, "is an array, want %s", kindNames[s.kind])
		s = shape{}
	}
	var items shape
	if s.items != nil {
		items = *s.items
	}
	n := 0
	for ; c.decoder.More(); n++ {
		if n == s.limit() {
			c.wrong(where, "has more than %d items", s.limit())
			return errors.New("too large")
		}
		if err := c.value(where+"["+strconv.Itoa(n)+"]", items, depth+1); err != nil {
			return err
		}
	}
	if n < s.minItems {
		c.report(where, fmt.Sprintf("has %d items, want at least %d", n, s.minItems))
	}
	_, err := c.decoder.Token()
	return err
}

func (s shape) limit() int { return cmp.Or(s.maxItems, defaultMaxItems) }

// join appends a field name to a path such as config.Env, and quotes it if it is ambiguous there.
func join(where, name string) string {
	if len(name) > maxQuoted {
		name = name[:maxQuoted] + "…"
	}
	if strconv.Quote(name) != `"`+name+`"` || strings.ContainsAny(name, ".[] ") {
		name = strconv.Quote(name)
	}
	if where == "" {
		return name
	}
	return where + "." + name
}
