package producer

// A behind does one write to the store after the other, in order, while its caller reads on. At
// most one is under way. It is for one goroutine.
type behind struct {
	done chan error // of the write that is under way; nil: none is
	then func()
}

// start waits for the write before this one, and begins this one. Then is called by a later start
// or wait, if the write succeeded. An error is that of the write before, and nothing was begun.
func (b *behind) start(write func() error, then func()) error {
	if err := b.wait(); err != nil {
		return err
	}
	done := make(chan error, 1)
	b.done, b.then = done, then
	go func() { done <- write() }()
	return nil
}

// wait waits for the write that is under way, if there is one.
func (b *behind) wait() error {
	if b.done == nil {
		return nil
	}
	err := <-b.done
	b.done = nil
	if err == nil {
		b.then()
	}
	return err
}
