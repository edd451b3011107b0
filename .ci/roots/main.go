// Command roots prints, as PEM, the authorities that programs in the tool's own image trust: the roots of Mozilla's NSS.
// They come from a module, whose version and hash are beside this file, and not from the machine that makes a release.
package main

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}

func run() error {
	out := bufio.NewWriter(os.Stdout)
	for root := range bundle.Roots() {
		// Mozilla trusts some roots only for older certificates, which PEM cannot express.
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return err
		}
	}
	return out.Flush()
}
