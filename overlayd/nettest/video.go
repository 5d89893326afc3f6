// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Video is a test pattern as H.264 in an MPEG transport stream of constant rate, with
// null packets where the encoder needs less.
type Video struct {
	File    string
	Seconds int
	MuxRate int      // bit/s
	Frames  []string // checksums of the decoded frames, in order
}

// ErrNoFFmpeg says that this machine cannot make or check a video.
var ErrNoFFmpeg = errors.New("ffmpeg is missing: apt-get install ffmpeg")

// ffmpeg runs ffmpeg, which must have nothing to say.
func ffmpeg(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "ffmpeg", append([]string{"-nostdin", "-hide_banner", "-v", "error"}, args...)...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, ErrNoFFmpeg
	}
	if text := strings.TrimSpace(talk.String()); text != "" || err != nil {
		lines := strings.Split(text, "\n")
		return nil, fmt.Errorf("ffmpeg has %d complaints, the first: %s (%v)", len(lines), lines[0], err)
	}
	return out.Bytes(), nil
}

// MakeVideo encodes a video of so many seconds into file and decodes it once. The
// picture takes about 40 % of the rate: with its own overhead half of the stream is null
// packets.
func MakeVideo(ctx context.Context, file string, seconds, muxRate int) (*Video, error) {
	bits := strconv.Itoa(muxRate * 4 / 10)
	_, err := ffmpeg(
		ctx, "-f", "lavfi", "-i", "testsrc2=size=480x270:rate=25", "-t", strconv.Itoa(seconds),
		"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "25", "-bf", "2",
		"-b:v", bits, "-maxrate", bits, "-bufsize", strconv.Itoa(muxRate/4),
		"-f", "mpegts", "-muxrate", strconv.Itoa(muxRate), "-y", file,
	)
	if err != nil {
		return nil, fmt.Errorf("making a video: %w", err)
	}
	v := &Video{File: file, Seconds: seconds, MuxRate: muxRate}
	v.Frames, err = Decode(ctx, file)
	if err == nil && len(v.Frames) != 25*seconds {
		err = fmt.Errorf("a video of %d seconds has %d frames", seconds, len(v.Frames))
	}
	return v, err
}

// Decode decodes the video in file and gives the checksum of each frame. Whatever
// ffmpeg complains of is an error.
func Decode(ctx context.Context, file string) ([]string, error) {
	if _, err := ffmpeg(ctx, "-i", file, "-f", "null", "-"); err != nil {
		return nil, err
	}
	out, err := ffmpeg(ctx, "-i", file, "-map", "0:v", "-f", "framemd5", "-")
	if err != nil {
		return nil, err
	}
	var sums []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ",")
		sums = append(sums, strings.TrimSpace(fields[len(fields)-1]))
	}
	return sums, nil
}

// Decodable counts the frames that can be decoded at all, whatever ffmpeg complains of.
func Decodable(ctx context.Context, file string) (int, error) {
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "quiet", "-i", file, "-map", "0:v", "-f", "framemd5", "-")
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("ffmpeg: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n, nil
}

// Same says whether frames are those of the video: all, or none missing between the
// first and the last if the subscriber came late.
func (v *Video) Same(frames []string) error {
	if len(frames) == 0 {
		return errors.New("no frame was decoded")
	}
	at := slices.Index(v.Frames, frames[0])
	if at < 0 {
		return errors.New("the first frame is not of the video")
	}
	for i, f := range frames {
		if at+i >= len(v.Frames) || v.Frames[at+i] != f {
			return fmt.Errorf("frame %d of %d differs from the video's", i+1, len(frames))
		}
	}
	return nil
}
