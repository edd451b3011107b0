package e2e

import (
	"net"
	"testing"
	"time"
)

// freeAddress is an address on loopback that nobody listened on just now, for a server that has to be told one.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitServer waits until something listens.
func awaitServer(t *testing.T, network, address string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nothing listens: %v", err)
		}
	}
}
