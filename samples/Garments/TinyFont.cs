namespace Garments;

/// <summary>Letters of 5x7 pixels: for each character five columns, the lowest bit on top.</summary>
internal static class TinyFont
{
    private const string Characters = "abcdefghijklmnopqrstuvwxyz0123456789.,-/:()%";

    private static readonly byte[] Bits = Convert.FromHexString(
        "2054545478" + "7F48444438" + "3844444420" + "384444487F" + "3854545418" + "087E090102" + "0C5252523E" + "7F08040478" + "00447D4000" +
        "2040443D00" + "7F10284400" + "00417F4000" + "7C04180478" + "7C08040478" + "3844444438" + "7C14141408" + "081414187C" + "7C08040408" +
        "4854545420" + "043F444020" + "3C4040207C" + "1C2040201C" + "3C4030403C" + "4428102844" + "0C5050503C" + "4464544C44" +
        "3E5149453E" + "00427F4000" + "4261514946" + "2141454B31" + "1814127F10" + "2745454539" + "3C4A494930" + "0171090503" + "3649494936" + "064949291E" +
        "0060600000" + "0050300000" + "0808080808" + "2010080402" + "0036360000" + "001C224100" + "0041221C00" + "2313086462");

    /// <summary>Five columns of a character; nothing for one that the font lacks.</summary>
    public static ReadOnlySpan<byte> Columns(char character)
    {
        int at = Characters.IndexOf(char.ToLowerInvariant(character));
        return at < 0 ? [] : Bits.AsSpan(at * 5, 5);
    }
}
