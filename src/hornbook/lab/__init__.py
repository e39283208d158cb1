"""The lab: did a change help, or was it luck?"""
