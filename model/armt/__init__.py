"""ARMT: an associative recurrent memory transformer whose memory is a value.

The library has no HTTP and no Redis in it. Start at `armt.checkpoint.load`, `ArmtModel.absorb` and
`armt.decode.decode`.
"""
