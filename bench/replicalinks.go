package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"trivet/link/peer"
	"trivet/replica"
	"trivet/uc"
)

// kindEnvelopes and snapshotStream are what travels over the links.
const (
	kindEnvelopes  = 1
	snapshotStream = "snapshot"
)

// replicaLinks carries messages of groups over the links of servers.
type replicaLinks struct{ *peer.Net }

var _ replica.Transport = replicaLinks{}

// Send implements replica.Transport.
func (r replicaLinks) Send(to uint64, batch []replica.Envelope) {
	var b []byte
	for _, e := range batch {
		b = appendEnvelope(b, e)
	}
	r.Post(replicaName(to), kindEnvelopes, b)
}

// Snapshot implements replica.Transport.
func (r replicaLinks) Snapshot(ctx context.Context, to uint64, e replica.Envelope, body io.Reader) error {
	return r.Stream(ctx, replicaName(to), snapshotStream, appendEnvelope(nil, e), body)
}

// receive hands what comes from the other servers to the host.
func (r replicaLinks) receive(h *replica.Host) {
	r.Handle(kindEnvelopes, func(from uc.ServerFQDN, payload []byte) {
		if batch, err := readEnvelopes(payload); err == nil {
			_ = h.Step(replicaNumber(from), batch) // what is refused is repeated
		}
	})
	r.ServeStream(snapshotStream, func(ctx context.Context, from uc.ServerFQDN, header []byte, body io.Reader) error {
		batch, err := readEnvelopes(header)
		if err != nil || len(batch) != 1 {
			return errors.Join(errEnvelope, err)
		}
		return h.Receive(ctx, replicaNumber(from), batch[0], body)
	})
}

func replicaNumber(name uc.ServerFQDN) uint64 {
	for n := uint64(1); n <= storeServers; n++ {
		if replicaName(n) == name {
			return n
		}
	}
	return 0
}

var errEnvelope = errors.New("a malformed envelope")

// appendEnvelope writes group, generation and length as varints, then the message.
func appendEnvelope(b []byte, e replica.Envelope) []byte {
	for _, n := range []uint64{uint64(e.Group), e.Generation, uint64(len(e.Data))} {
		b = binary.AppendUvarint(b, n)
	}
	return append(b, e.Data...)
}

// readEnvelopes reads what appendEnvelope wrote, one after the other.
func readEnvelopes(b []byte) (batch []replica.Envelope, err error) {
	for len(b) > 0 {
		var head [3]uint64
		for i := range head {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, errEnvelope
			}
			head[i], b = v, b[n:]
		}
		size := head[2]
		if size > uint64(len(b)) {
			return nil, errEnvelope
		}
		batch = append(batch, replica.Envelope{Group: uc.GroupID(head[0]), Generation: head[1], Data: b[:size:size]})
		b = b[size:]
	}
	return batch, nil
}
