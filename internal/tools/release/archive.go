package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"
)

// A member is a file of an archive.
type member struct {
	name string
	mode fs.FileMode
	data []byte
}

// tarball returns a .tar.gz of these files in one folder. It names no user and no time but the
// commit's.
func tarball(folder string, members []member, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&b, gzip.BestCompression) // its header stays empty
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zipped)
	for _, m := range members {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(folder, m.name), Mode: int64(m.mode), Size: int64(len(m.data)), ModTime: at, Format: tar.FormatPAX,
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(m.data); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), zipped.Close())
	return b.Bytes(), err
}

// zipfile does the same as a .zip.
func zipfile(folder string, members []member, at time.Time) ([]byte, error) {
	inFolder := make([]member, len(members))
	for i, m := range members {
		inFolder[i] = member{path.Join(folder, m.name), m.mode, m.data}
	}
	return zipOf(inFolder, at)
}

// zipOf packs files under their own names.
func zipOf(members []member, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) { return flate.NewWriter(to, flate.BestCompression) })
	for _, m := range members {
		header := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(m.mode)
		f, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(m.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
