package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// putPath is etcd's remote procedure that stores a value; our side of the duel
// answers it too, so that the client does the same work for both.
const putPath = "/etcdserverpb.KV/Put"

// maxPut bounds a framed request or answer, in bytes.
const maxPut = 64 << 10

// grpcHead is what stands before a message: 0 for "not compressed", then its length
// in four bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
const grpcHead = 5

var errPut = errors.New("a malformed PutRequest")

// appendPut appends a framed PutRequest {1: key, 2: value}.
func appendPut(b, key, value []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, grpcHead)...)
	for i, field := range [][]byte{key, value} {
		b = append(b, byte(i+1)<<3|2) // length-delimited
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-grpcHead))
	return b
}

// readPut reads what appendPut wrote.
func readPut(b []byte) (key, value []byte, err error) {
	if len(b) < grpcHead || b[0] != 0 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-grpcHead {
		return nil, nil, errPut
	}
	b = b[grpcHead:]
	var fields [2][]byte
	for i := range fields {
		if len(b) == 0 || b[0] != byte(i+1)<<3|2 {
			return nil, nil, errPut
		}
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return nil, nil, errPut
		}
		b = b[1+n:]
		fields[i], b = b[:size:size], b[size:]
	}
	return fields[0], fields[1], nil
}

// kv is a connection to one server: HTTP/2 without TLS, as many requests under way
// on it as there are writers.
type kv struct {
	url    string
	client *http.Client
}

func newKV(addr string) *kv {
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	return &kv{"http://" + addr + putPath, &http.Client{Transport: &http.Transport{Protocols: &only}}}
}

func (k *kv) close() { k.client.CloseIdleConnections() }

// put stores a value under a key: nil once the server has said that it is done.
func (k *kv) put(ctx context.Context, framed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url, bytes.NewReader(framed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxPut)); err != nil {
		return err
	}
	status, text := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if status == "" { // an answer without a body has it in the header
		status, text = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	if resp.StatusCode != http.StatusOK || status != "0" {
		return fmt.Errorf("HTTP status %d, grpc-status %q: %s", resp.StatusCode, status, text)
	}
	return nil
}
