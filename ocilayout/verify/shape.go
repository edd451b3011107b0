package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// shape is what a JSON value has to be. It says what a JSON schema could,
// and some of what the specification has in prose.
type shape struct {
	kind     kind
	null     bool                 // or null
	fields   map[string]shape     // of an object; others are allowed, as the specification says
	required []string             // of them
	values   *shape               // of an object whose names are free
	key      func(string) error   // what its names have to be
	items    *shape               // of an array
	least    int                  // items
	most     int                  // items or names; 0 means maxItems
	check    func(s string) error // of a string
	integer  func(n int64) error  // of a number, which is an integer
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

// Limits of a document, so that what is made of it is not much larger than itself.
const (
	maxItems   = 1 << 16
	maxNesting = 16
)

// checkShape finds out what is wrong with a document. It reads it once and remembers little.
// Decode says whether it makes sense to decode it, whatever else is wrong.
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

// wrong reports a value that is of the wrong kind, so that decoding would fail.
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
		if s.kind != 0 && !s.null {
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

// text checks a string. None may have a NUL, which ends it for whoever runs an image.
func (c *shapeChecker) text(where, s string, check func(string) error) {
	if strings.IndexByte(s, 0) >= 0 {
		c.report(where, "has a NUL")
	} else if check != nil {
		if err := check(s); err != nil {
			c.report(where, err.Error())
		}
	}
}

// object checks what follows the brace.
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
		name := t.(string) // the decoder takes nothing else for a name
		at := join(where, name)
		if len(seen) == limit(s.most) {
			c.wrong(where, "has more than %d names", limit(s.most))
			return errors.New("too large")
		}
		if seen[name] {
			c.wrong(at, "is there twice")
		}
		seen[name] = true
		inner, known := s.fields[name]
		if s.values != nil {
			inner = *s.values
			c.text(at, name, s.key)
		} else if !known {
			// Go's programs take such a field for the known one, and others don't.
			for field := range s.fields {
				if strings.EqualFold(field, name) {
					c.wrong(at, "is spelled %q", field)
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

// array checks what follows the bracket.
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
		if n == limit(s.most) {
			c.wrong(where, "has more than %d items", limit(s.most))
			return errors.New("too large")
		}
		if err := c.value(where+"["+strconv.Itoa(n)+"]", items, depth+1); err != nil {
			return err
		}
	}
	if n < s.least {
		c.report(where, fmt.Sprintf("has %d items, want at least %d", n, s.least))
	}
	_, err := c.decoder.Token()
	return err
}

func limit(most int) int {
	if most == 0 {
		return maxItems
	}
	return most
}

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
