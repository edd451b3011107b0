package main

import (
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/export-profile/export-profile/profile/attestation"
)

// showStatements implements the script command
//
//	statement KEY FILE
//
// It prints the statements in a file of bundles, one a line, after verifying them with the public key.
func showStatements(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: statement KEY FILE")
	}
	keys, err := attestation.ParseKeys([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		b, err := attestation.ReadBundle([]byte(line))
		ts.Check(err)
		_, err = b.Verify(keys)
		ts.Check(err)
		_, err = attestation.ParseStatement(b.Payload)
		ts.Check(err)
		_, _ = fmt.Fprintln(ts.Stdout(), string(b.Payload))
	}
}
