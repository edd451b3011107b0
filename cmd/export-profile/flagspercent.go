package main

import (
	"errors"
	"strconv"
	"strings"
)

// percent is a flag of 0 to 100 percent, with or without the sign.
type percent int

func (p *percent) Set(s string) error {
	n, err := strconv.Atoi(strings.TrimSuffix(s, "%"))
	if err != nil || n < 0 || n > 100 {
		return errors.New("want 0 to 100 percent, a whole number, as in 5 or 5%")
	}
	*p = percent(n)
	return nil
}

func (p *percent) String() string { return strconv.Itoa(int(*p)) }

// Type is that of the JSON schema. Image files may also have 5%.
func (p *percent) Type() string { return "int" }
