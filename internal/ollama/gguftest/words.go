package gguftest

// words are the words of the models' answers: most of them are common, some stand in instructions.
const words = `the of and to a in is that it was for on are as with they at be this from have or by one had not but
what all were when we there can an your which their if do will each about how up out them then she many some so these
would other into has more two like see time could no make than first been its who now people made over did down only
way find use may water long little very after words called just where most know get through back much before go good
new write our used me man too any day same right look think also around another came come work three word must because
does part even place well such here take why things help put years different away again off went old number great tell
say small every found still between name should home big give air line set own under read last never us left end along
while might next sound below saw something thought both few those always looked show large often together asked house
world going want school important until form food keep children feet land side without once animals life enough took
sometimes four head above kind began almost live page earth need far hand high year light parts country let night
picture being study second eyes soon times story white days ever paper hard near sentence better best across today
however sure means knew try told young whole hear example heard several change answer room sea against top turned learn
point city play five using money car morning data model question value order list result case problem reason step rule
test text table key user message batch token language instruction quality sample score sheep apples minus equals plus`
