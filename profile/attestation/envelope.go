package attestation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// PayloadType is the type of the payload: an in-toto statement.
const PayloadType = "application/vnd.in-toto+json"

// preAuthEncoding returns the message that the key signs: PAE of DSSE 1.0.2, which also covers the payload's type
// (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md).
func preAuthEncoding(payloadType string, payload []byte) []byte {
	b := []byte("DSSEv1 ")
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// envelope is a DSSE envelope with one signature, as a writer makes it.
type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

// signature has no key ID: cosign refuses any that it does not make itself.
type signature struct {
	Sig []byte `json:"sig"`
}

// readEnvelope reads a DSSE envelope into b.
func (b *Bundle) readEnvelope(raw []byte) error {
	values, err := objectOf(raw, "payload", "payloadType", "signatures")
	if err != nil {
		return err
	}
	if b.PayloadType, err = text(values, "payloadType"); err != nil {
		return err
	}
	if b.Payload, err = base64Text(values, "payload"); err != nil {
		return err
	}
	var signatures []json.RawMessage
	if err := json.Unmarshal(values["signatures"], &signatures); err != nil {
		return errors.New(`"signatures" is not a list`)
	}
	if len(signatures) != 1 {
		return fmt.Errorf("it has %d signatures, not one", len(signatures))
	}
	if values, err = objectOf(signatures[0], "sig", "keyid"); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	if values["keyid"] != nil {
		if _, err := text(values, "keyid"); err != nil {
			return fmt.Errorf("signature: %w", err)
		}
	}
	b.signature, err = base64Text(values, "sig")
	return err
}
