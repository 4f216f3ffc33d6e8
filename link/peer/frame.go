package peer

import (
	"bufio"
	"encoding/binary"
	"io"

	"trivet/fault"
)

// The types of frames.
const (
	frameBeat byte = iota + 1
	frameEcho
	framePost
	frameCall
	frameCancel
	frameAnswer
	frameFailure
)

const (
	magic        = "TRVP"
	forFrames    = 1
	forStream    = 2
	maxName      = 255
	frameHead    = 5       // length, type
	postHead     = 1       // kind
	callHead     = 13      // id, patience, length of the name
	idHead       = 8       // id
	maxHeader    = 1 << 20 // bytes of a stream's header
	maxChunk     = 64 << 10
	chunkEnd     = 0
	chunkGivenUp = 0xFFFFFFFF
)

// frame is one frame as read; body belongs to its reader.
type frame struct {
	kind byte
	body []byte
}

// readFrame reads one frame of at most max bytes behind its length. io.EOF is the
// end between two frames; a broken frame is fault.Invalid.
func readFrame(r *bufio.Reader, max int) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n < 1 || n > int64(max) {
		return frame{}, fault.Newf(fault.Invalid, "peer.read", "a frame has %d bytes; 1 to %d are allowed", n, max)
	}
	f := frame{kind: head[4]}
	if n > 1 {
		f.body = make([]byte, n-1)
		if _, err := io.ReadFull(r, f.body); err != nil {
			return frame{}, io.ErrUnexpectedEOF
		}
	}
	return f, nil
}

// startFrame appends the head of a frame whose body has n bytes.
func startFrame(b []byte, kind byte, n int) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(n+1)), kind)
}

func appendStamp(b []byte, kind byte, stamp uint64) []byte {
	return binary.BigEndian.AppendUint64(startFrame(b, kind, 8), stamp)
}

func appendPost(b []byte, kind byte, payload []byte) []byte {
	return append(append(startFrame(b, framePost, postHead+len(payload)), kind), payload...)
}

func appendCall(b []byte, c call) []byte {
	b = startFrame(b, frameCall, callHead+len(c.name)+len(c.in))
	b = binary.BigEndian.AppendUint64(b, c.id)
	b = binary.BigEndian.AppendUint32(b, c.patience)
	b = append(append(b, byte(len(c.name))), c.name...)
	return append(b, c.in...)
}

func appendReply(b []byte, kind byte, id uint64, body []byte) []byte {
	return append(binary.BigEndian.AppendUint64(startFrame(b, kind, idHead+len(body)), id), body...)
}

// call is the body of a frameCall.
type call struct {
	id       uint64
	patience uint32 // milliseconds, 0 none
	name     string
	in       []byte
}

func parseCall(body []byte) (call, error) {
	if len(body) < callHead || len(body) < callHead+int(body[12]) {
		return call{}, short("call")
	}
	end := callHead + int(body[12])
	return call{binary.BigEndian.Uint64(body), binary.BigEndian.Uint32(body[8:]), string(body[callHead:end]), body[end:]}, nil
}

// parseID reads the number that stamps, cancels, answers and failures begin with.
func parseID(body []byte) (uint64, []byte, error) {
	if len(body) < idHead {
		return 0, nil, short("numbered frame")
	}
	return binary.BigEndian.Uint64(body), body[idHead:], nil
}

func short(what string) error {
	return fault.Newf(fault.Invalid, "peer.read", "a %s is cut off", what)
}

// opening is how a connection begins.
type opening struct {
	purpose  byte
	from, to string
}

func (o opening) append(b []byte) []byte {
	b = append(append(b, magic...), o.purpose, byte(len(o.from)))
	b = append(append(b, o.from...), byte(len(o.to)))
	return append(b, o.to...)
}

func readOpening(r *bufio.Reader) (opening, error) {
	var head [len(magic) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return opening{}, err
	}
	o := opening{purpose: head[len(magic)]}
	if string(head[:len(magic)]) != magic || o.purpose != forFrames && o.purpose != forStream {
		return opening{}, fault.New(fault.Invalid, "peer.read", "the connection does not begin as one between servers of a pool")
	}
	var err error
	if o.from, err = readName(r); err == nil {
		o.to, err = readName(r)
	}
	return o, err
}

// readName reads a text with its length in one byte in front.
func readName(r *bufio.Reader) (string, error) {
	n, err := r.ReadByte()
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", io.ErrUnexpectedEOF
	}
	return string(b), nil
}

// appendHeader writes what a stream begins with.
func appendHeader(b []byte, name string, header []byte) []byte {
	b = append(append(b, byte(len(name))), name...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(header))), header...)
}

// readHeader reads what a stream begins with: name and header.
func readHeader(r *bufio.Reader) (string, []byte, error) {
	name, err := readName(r)
	if err != nil {
		return "", nil, err
	}
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxHeader {
		return "", nil, fault.Newf(fault.Invalid, "peer.read", "the header of a stream has %d bytes; %d are allowed", n, maxHeader)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return "", nil, io.ErrUnexpectedEOF
	}
	return name, header, nil
}
