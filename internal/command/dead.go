package command

// Dead groups the commands for what could not be generated.
type Dead struct {
	List    DeadList    `cmd:"" group:"Look:" help:"List dead letters, oldest first."`
	Show    DeadShow    `cmd:"" group:"Look:" help:"Show dead letters with everything in them."`
	Redrive DeadRedrive `cmd:"" help:"Put the batches of dead letters on the queue again."`
	Drop    DeadDrop    `cmd:"" help:"Give up the batches of dead letters for good."`
	GiveUp  DeadGiveUp  `cmd:"" name:"give-up" help:"Give up batches that are still queued, or that rest until their next try."`
}

// Help is called by kong.
func (Dead) Help() string { return letterFlags{}.Help() }
