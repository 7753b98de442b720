package pipeline

// A Traffic is the cost of exchanges with NATS, both directions together. It may be an average.
type Traffic struct {
	Messages float64 `json:"messages"`   // sent and received by clients
	Bytes    float64 `json:"bytes"`      // of their headers and contents, as a NATS server counts
	Wire     float64 `json:"wire_bytes"` // with subjects and protocol, as they travel; TLS not counted
}

// Plus returns the sum.
func (t Traffic) Plus(u Traffic) Traffic {
	return Traffic{t.Messages + u.Messages, t.Bytes + u.Bytes, t.Wire + u.Wire}
}

// Times returns n times the cost.
func (t Traffic) Times(n float64) Traffic { return Traffic{t.Messages * n, t.Bytes * n, t.Wire * n} }

// Operations is the load of a store. It may be an average.
type Operations struct {
	Commands   float64 `json:"commands"`   // as they are sent
	Statements float64 `json:"statements"` // with each document inserted and each update of a bulk counted alone
}

// Plus returns the sum.
func (o Operations) Plus(p Operations) Operations {
	return Operations{o.Commands + p.Commands, o.Statements + p.Statements}
}

// Times returns n times the cost.
func (o Operations) Times(n float64) Operations { return Operations{o.Commands * n, o.Statements * n} }
