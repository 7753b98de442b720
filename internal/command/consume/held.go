package consume

import (
	"context"

	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/holdings"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// handBackLeft hands back what a killed consumer of this machine held of the run. If that fails it
// waits for its lease.
func (c *Command) handBackLeft(ctx context.Context, conn *stream.Conn, run pipeline.RunInfo, log *zap.Logger) {
	folder, err := holdings.Folder()
	var all []holdings.Left
	if err == nil {
		all, err = holdings.HandBack(ctx, folder, run.UID, conn)
	}
	if err != nil {
		log.Warn("what an earlier consumer held could not be handed back: it goes on after its lease", zap.Error(err))
	}
	for _, left := range all {
		log.Info("handed back what an earlier consumer of this machine held, which is gone",
			zap.Int("batches", len(left.Replies)), zap.String("consumer", left.Consumer))
	}
}

// note returns what hands out the batches of the run to each GPU. Which of them are held is noted
// until release is called.
func (c *Command) note(conn *stream.Conn, run pipeline.RunInfo, id string, log *zap.Logger) (work func() consumer.WorkQueue, release func()) {
	folder, err := holdings.Folder()
	var file *holdings.File
	if err == nil {
		file, err = holdings.Open(folder, holdings.Owner{UID: run.UID, Consumer: id, Lease: run.Lease})
	}
	if err != nil {
		log.Warn("if this consumer is killed, what it holds waits for its lease", zap.Error(err))
		return func() consumer.WorkQueue { return conn.Work(run.Run) }, func() {}
	}
	return func() consumer.WorkQueue { return conn.Work(run.Run).Note(file) }, func() { _ = file.Close() } // nothing is held any more
}
