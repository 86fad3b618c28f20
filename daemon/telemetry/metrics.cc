namespace tokend {}
