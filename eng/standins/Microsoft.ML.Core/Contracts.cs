using System.Diagnostics.CodeAnalysis;

namespace Microsoft.ML.Runtime;

/// <summary>Which exception each kind of mistake gives, as in the real package.</summary>
internal static class Contracts
{
    private const string MarkKey = "ML_IsMarked";

    // A failure while a component is created is told apart by whether the package threw it or somebody else.
    public static TException Mark<TException>(TException exception) where TException : Exception
    {
        exception.Data[MarkKey] = true;
        return exception;
    }

    public static bool IsMarked(this Exception exception) => exception.Data.Contains(MarkKey);

    public static void Check([DoesNotReturnIf(false)] bool condition, string message = "Operation is not valid due to the current state of the object.")
    {
        if (!condition)
            throw Mark(new InvalidOperationException(message));
    }

    public static void CheckValue<T>([NotNull] T value, string name) where T : class
    {
        if (value is null)
            throw Mark(new ArgumentNullException(name));
    }

    public static void CheckParam(bool condition, string name, string message = null)
    {
        if (!condition)
            throw ExceptParam(name, message);
    }

    public static void CheckNonEmpty(string text, string name)
    {
        if (string.IsNullOrEmpty(text))
            throw ExceptParam(name, $"{name} cannot be null or empty");
    }

    public static void CheckDecode(bool condition, string message = "One of the identified items was in an invalid format.")
    {
        if (!condition)
            throw Mark(new FormatException(message));
    }

    public static Exception Except(string message, Exception inner = null) => Mark(new InvalidOperationException(message, inner));

    public static Exception ExceptParam(string name, string message) => Mark(new ArgumentOutOfRangeException(name, message));

    public static Exception ExceptDecode(string message) => Mark(new FormatException(message));

    public static Exception ExceptSchemaMismatch(string name, string role, string column)
        => ExceptParam(name, $"Could not find {role} column '{column}'");

    public static Exception ExceptSchemaMismatch(string name, string role, string column, string expected, string actual)
        => ExceptParam(name, $"Schema mismatch for {role} column '{column}': expected {expected}, got {actual}");
}
