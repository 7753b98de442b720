package pipeline

import "time"

// Limits of what one run may hold. What exceeds them is refused when it is loaded, with the row
// named.
const (
	MaxRowBytes        = 4 << 20   // one row of a dataset, as it came
	MaxPromptBytes     = 128 << 10 // one rendered prompt
	MaxRowIDBytes      = 1 << 10   // the id by which the user knows a row
	MaxSystemBytes     = 64 << 10  // the system prompt of a run
	MaxMessages        = 1000      // messages of one request
	MaxToolsBytes      = 64 << 10  // the tools of one request, and the calls of one message
	MaxSchemaBytes     = 64 << 10  // the schema of its answers
	MaxItems           = 1e9       // items of a run: nine digits in an id
	MaxBatches         = 1e7       // batches of a run: seven digits in an id
	MaxSamples         = 1000      // answers wanted for one item: three digits in an id
	MaxBatch           = 256       // generations in one batch
	MaxBatchBytes      = 256 << 10 // one encoded batch of more than one generation
	MaxTextBytes       = 512 << 10 // the text of one result
	MaxReasoningBytes  = 512 << 10 // the thinking of one result
	MaxPartialBytes    = 128 << 10 // the texts of all cut answers in one dead letter
	MaxErrorBytes      = 16 << 10  // the text of one failure
	MaxRestingNamed    = 32        // resting batches that a consumer names for each GPU
	MaxJudged          = 64        // GPUs that judged one batch: each of three rounds may pass several
	MaxOpinions        = 2         // rounds that a batch gets because verdicts on it are doubted
	MaxNumPredict      = 128 << 10 // tokens of one answer
	DefaultBatch       = 8         // generations in one batch: one to three minutes of one slot
	DefaultNumPredict  = 1024      // tokens of one answer
	ThinkingNumPredict = 8192      // the same where thinking is asked for, whose tokens count as well
	DefaultLease       = 90 * time.Second
	DefaultFirstToken  = 10 * time.Minute // that a request waits for its first token, the load of the model included
	DefaultStall       = 45 * time.Second // that answers may bring no token
	// DefaultAnswerLimit is how long an answer may take from its first token on.
	DefaultAnswerLimit = 30 * time.Minute
)

// CanaryPrompt is what a model is asked to see whether it answers at all. Nothing is wrong with it,
// so a failure is not about the prompt.
const CanaryPrompt = "Hello"
