package sbom

import (
	"errors"
	"fmt"
	"strings"
)

// maxParentheses is more than an expression needs.
const maxParentheses = 16

// expression is an SPDX expression as words: identifiers, operators and parentheses.
type expression []string

// parseExpression parses an expression of SPDX 2.3, annex D. Operators are in upper case.
func parseExpression(s string) (expression, error) {
	s = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)
	p := &expressionParser{words: strings.Fields(s)}
	if err := p.compound(0); err != nil {
		return nil, fmt.Errorf("SPDX expression: %w", err)
	}
	if p.at < len(p.words) {
		return nil, fmt.Errorf("SPDX expression: %q: want AND, OR or WITH", p.words[p.at])
	}
	return p.words, nil
}

type expressionParser struct {
	words expression
	at    int
}

// next returns the next word, or "" at the end.
func (p *expressionParser) next() string {
	if p.at == len(p.words) {
		return ""
	}
	return p.words[p.at]
}

// take passes the next word if it is this one.
func (p *expressionParser) take(word string) bool {
	if p.next() != word {
		return false
	}
	p.at++
	return true
}

// compound parses one or more terms with AND and OR between them.
func (p *expressionParser) compound(depth int) error {
	if depth > maxParentheses {
		return fmt.Errorf("parentheses more than %d deep", maxParentheses)
	}
	for {
		if err := p.term(depth); err != nil {
			return err
		}
		if !p.take("AND") && !p.take("OR") {
			return nil
		}
	}
}

// term parses an identifier, perhaps with an exception, or an expression in parentheses.
func (p *expressionParser) term(depth int) error {
	if p.take("(") {
		if err := p.compound(depth + 1); err != nil {
			return err
		}
		if !p.take(")") {
			return errors.New("a parenthesis is not closed")
		}
		return nil
	}
	if err := p.identifier("a licence"); err != nil {
		return err
	}
	if !p.take("WITH") {
		return nil
	}
	return p.identifier("an exception")
}

func (p *expressionParser) identifier(want string) error {
	word := p.next()
	if !isIdentifier(word) {
		return fmt.Errorf("%q: want %s", word, want)
	}
	p.at++
	return nil
}

func isIdentifier(word string) bool {
	switch word {
	case "", "+", "AND", "OR", "WITH", "(", ")":
		return false
	}
	return !strings.Contains(strings.TrimSuffix(word, "+"), "+")
}
