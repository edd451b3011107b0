package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// node is a value in an image file, JSON or YAML, with its line for errors.
// A scalar keeps its text, so that 1000 and "1000" are the same, as on a command line.
type node struct {
	line  int
	kind  nodeKind
	text  string  // of a scalar
	items []*node // of a list, or the values of a map
	keys  []*node // of a map, scalars
}

type nodeKind byte

const (
	scalarNode nodeKind = iota
	listNode
	mapNode
	nullNode
)

// maxDepth is more than an image file needs.
const maxDepth = 16

// lineError is an error in a line of an image file.
type lineError struct {
	line int
	msg  string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.msg) }

func (n *node) errorf(format string, args ...any) error {
	return &lineError{n.line, fmt.Sprintf(format, args...)}
}

// parseImageFile parses an image file. JSON goes to the JSON parser, since YAML parsers reject some valid JSON.
// An empty file is an empty map.
func parseImageFile(b []byte) (*node, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return &node{line: 1, kind: mapNode}, nil
	}
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	var n *node
	var err error
	if json.Valid(b) {
		n, err = parseJSON(b)
	} else {
		n, err = parseYAML(b)
	}
	if err != nil {
		return nil, err
	}
	return n, n.checkKeys()
}

func parseYAML(b []byte) (*node, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) { // only comments
			return &node{line: 1, kind: mapNode}, nil
		}
		return nil, err
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, &lineError{more.Line, "a second document: want one"}
	}
	return fromYAML(doc.Content[0], 0)
}

func fromYAML(y *yaml.Node, depth int) (*node, error) {
	n := &node{line: y.Line}
	switch {
	case depth > maxDepth:
		return nil, n.errorf("nested more than %d deep", maxDepth)
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return nil, n.errorf("anchors and aliases are not supported")
	}
	switch y.Kind {
	case yaml.ScalarNode:
		n.text = y.Value
		if y.ShortTag() == "!!null" {
			n.kind = nullNode
		}
	case yaml.SequenceNode:
		n.kind = listNode
		for _, item := range y.Content {
			child, err := fromYAML(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, child)
		}
	case yaml.MappingNode:
		n.kind = mapNode
		for i := 0; i < len(y.Content); i += 2 {
			key, err := fromYAML(y.Content[i], depth+1)
			if err != nil {
				return nil, err
			}
			value, err := fromYAML(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			n.keys, n.items = append(n.keys, key), append(n.items, value)
		}
	default:
		return nil, n.errorf("want a value")
	}
	return n, nil
}

func parseJSON(b []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	p := &jsonParser{Decoder: d, b: b, line: 1}
	return p.value(0)
}

type jsonParser struct {
	*json.Decoder
	b    []byte
	at   int // lines are counted up to here
	line int
}

// token returns the next token and its line. A token never spans lines: JSON strings have no line breaks.
func (p *jsonParser) token() (json.Token, int, error) {
	t, err := p.Token()
	end := int(p.InputOffset())
	p.line += bytes.Count(p.b[p.at:end], []byte("\n"))
	p.at = end
	return t, p.line, err
}

func (p *jsonParser) value(depth int) (*node, error) {
	t, line, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &node{line: line}
	if depth > maxDepth {
		return nil, n.errorf("nested more than %d deep", maxDepth)
	}
	switch t := t.(type) {
	case json.Delim:
		n.kind = listNode
		if t == '{' {
			n.kind = mapNode
		}
		for p.More() {
			if n.kind == mapNode {
				key, line, err := p.token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, &node{line: line, text: key.(string)})
			}
			item, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		_, _, err = p.token()
		return n, err
	case string:
		n.text = t
	case json.Number:
		n.text = t.String()
	case bool:
		n.text = fmt.Sprint(t)
	case nil:
		n.kind = nullNode
	}
	return n, nil
}

// checkKeys refuses maps with a key that is repeated or not a scalar.
func (n *node) checkKeys() error {
	seen := make(map[string]int)
	for _, k := range n.keys {
		if k.kind != scalarNode {
			return k.errorf("want a name")
		}
		if line, ok := seen[k.text]; ok {
			return k.errorf("%q is in line %d already", k.text, line)
		}
		seen[k.text] = k.line
	}
	for _, item := range n.items {
		if err := item.checkKeys(); err != nil {
			return err
		}
	}
	return nil
}
