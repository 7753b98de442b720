package store

import (
	"context"
	"os"
	"path/filepath"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gleaner/internal/pipeline"
)

// About asks for the version, and for the sizes where the user may see them.
func (m *mongoStore) About(ctx context.Context) (pipeline.StoreAbout, error) {
	var built struct {
		Version string `bson:"version"`
	}
	command := func(name string, into any) error {
		_, err := ask(ctx, m.clients, 0, func(ctx context.Context, db *mongo.Database) (struct{}, error) {
			return struct{}{}, db.RunCommand(ctx, op(name, 1)).Decode(into)
		})
		return err
	}
	if err := command("buildInfo", &built); err != nil {
		return pipeline.StoreAbout{}, m.fail(ctx, err, "ask for the server's version")
	}
	about := pipeline.StoreAbout{Server: "MongoDB " + built.Version}
	var stats struct {
		Data    float64 `bson:"dataSize"`
		Indexes float64 `bson:"indexSize"`
		Disk    float64 `bson:"fsTotalSize"` // not on every server
		Used    float64 `bson:"fsUsedSize"`
	}
	if err := command("dbStats", &stats); err == nil { // else this user may not see it
		about.Bytes = int64(stats.Data + stats.Indexes)
		about.HasFree, about.Free = stats.Disk > 0, int64(stats.Disk-stats.Used)
	}
	return about, nil
}

// About does not say what is free on the file's disk: see disk.Free.
func (s *sqliteStore) About(ctx context.Context) (pipeline.StoreAbout, error) {
	about := pipeline.StoreAbout{Folder: filepath.Dir(s.path)}
	if err := s.readers.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&about.Server); err != nil {
		return about, s.fail(ctx, err, "ask for the version of SQLite")
	}
	for _, end := range []string{"", "-wal"} {
		if file, err := os.Stat(s.path + end); err == nil { // the log is there while the store is open
			about.Bytes += file.Size()
		}
	}
	return about, nil
}
