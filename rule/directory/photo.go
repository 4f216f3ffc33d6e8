package directory

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"image/jpeg"
	"image/png"
	"time"

	"trivet/fault"
)

// Limits of a photo.
const (
	MaxPhotoBytes  = 100 << 10
	MaxPhotoPixels = 4096 // of each side
)

// Photo is the picture of a user.
type Photo struct {
	Type        string // "image/jpeg" or "image/png"
	Data        []byte
	Hash        string // SHA-1 of Data, lower case hexadecimal
	WhenChanged time.Time
}

// ReadPhoto checks the bytes of a picture and describes them. Only its header is
// decoded. Errors are fault.Invalid about PictureData.
func ReadPhoto(data []byte) (Photo, error) {
	const op, property = "directory.ReadPhoto", "PictureData"
	if len(data) > MaxPhotoBytes {
		return Photo{}, fault.Newf(fault.Invalid, op, "%s may have at most %d bytes; it has %d, so make the picture smaller", property, MaxPhotoBytes, len(data)).About(property)
	}
	kind, decode := "image/jpeg", jpeg.DecodeConfig
	if bytes.HasPrefix(data, []byte("\x89PNG")) {
		kind, decode = "image/png", png.DecodeConfig
	}
	cfg, err := decode(bytes.NewReader(data))
	if err != nil {
		return Photo{}, fault.Newf(fault.Invalid, op, "%s needs a JPEG or PNG picture", property).About(property).Because(err)
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > MaxPhotoPixels || cfg.Height > MaxPhotoPixels {
		return Photo{}, fault.Newf(fault.Invalid, op, "%s needs a picture of at most %d by %d pixels, not %d by %d", property, MaxPhotoPixels, MaxPhotoPixels, cfg.Width, cfg.Height).About(property)
	}
	sum := sha1.Sum(data)
	return Photo{Type: kind, Data: bytes.Clone(data), Hash: hex.EncodeToString(sum[:])}, nil
}
