package consumer

import (
	"slices"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// maxLetterMessage is the bytes of all failures' messages in a dead letter, so that it fits into a
// message with its prompts.
const maxLetterMessage = 64 << 10

// deadLetter returns the letter of a batch with failures. It says everything that is known of the
// generations without an answer, also what earlier GPUs said of them: who follows the run decides
// by the letter alone whether another GPU is asked.
func (c *collector) deadLetter(delivery pipeline.Delivery[pipeline.Work], o *outcome) pipeline.DeadLetter {
	work := delivery.Body
	failures := slices.Concat(o.failures, work.Final)
	texts := 0
	for _, f := range failures {
		texts += min(len(f.Text), 1)
	}
	for i := range failures {
		failures[i].Message = text.Shorten(failures[i].Message, maxLetterMessage/len(failures))
		failures[i].Text = text.Ends(failures[i].Text, pipeline.MaxPartialBytes/max(texts, 1))
	}
	judged := work.Judged
	if !slices.Contains(judged, c.lane.id) {
		judged = slices.Concat(judged, []pipeline.LaneID{c.lane.id})
		judged = judged[max(len(judged)-pipeline.MaxJudged, 0):]
	}
	return pipeline.DeadLetter{
		Run: work.Run, UID: work.UID, Batch: work.Batch, Round: work.Round, Token: work.Token,
		Class: failures[0].Class, Message: failures[0].Message, Failures: failures, Deliveries: delivery.Deliveries,
		Consumer: c.lane.id.Consumer, GPU: c.lane.id.GPU, Judged: judged,
		Model: work.Model, Options: work.Options, Shared: work.Shared,
		FailedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}
